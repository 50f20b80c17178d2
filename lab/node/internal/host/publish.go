package host

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"

	"talos-nvidia-cdi/lab/node/internal/identity"
	"talos-nvidia-cdi/lab/node/internal/spec"
)

// publish writes below target (the node's /system) what pid 1 has to know: it cannot see the lab's folders, and the key
// of the machine CA stays outside.
func publish(node spec.Node, bootID, target string) error {
	description, err := json.Marshal(node)
	if err != nil {
		return err
	}

	profile, err := os.ReadFile(node.Profile)
	if err != nil {
		return err
	}

	for path, text := range map[string][]byte{
		spec.NodeFile: description, spec.ProfileFile: profile, spec.BootIDFile: []byte(bootID),
	} {
		if err := os.WriteFile(filepath.Join(target, filepath.Base(path)), text, 0o600); err != nil {
			return err
		}
	}

	bundle, err := secrets.LoadBundle(node.Secrets)
	if err != nil {
		return err
	}

	var pretended spec.Profile
	if err := json.Unmarshal(profile, &pretended); err != nil {
		return err
	}

	issued := time.Now()
	if pretended.CertificateExpired {
		issued = issued.Add(-2 * identity.Lifetime)
	}

	own, err := identity.Issue(bundle, node.Name, node.Address, issued)
	if err != nil {
		return err
	}

	return own.Save(filepath.Join(target, filepath.Base(spec.IdentityDir)))
}
