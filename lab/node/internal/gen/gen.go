// Package gen makes a lab's secrets: the Talos bundle, talosconfigs, base machine configs, the Kubernetes CA.
package gen

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"gopkg.in/yaml.v3"
)

// Options say whose secrets to make.
type Options struct {
	Out      string
	Cluster  string
	Endpoint string
	// Nodes maps a node's name to its address; Order keeps the order given.
	Nodes map[string]string
	Order []string
}

// Run writes everything into Options.Out, private files with mode 0600.
func Run(o Options) error {
	if o.Out == "" || o.Cluster == "" || len(o.Order) == 0 {
		return errors.New("gen wants --out, --cluster and at least one --node")
	}

	if err := os.MkdirAll(o.Out, 0o700); err != nil {
		return err
	}

	bundle, err := secrets.NewBundle(secrets.NewClock(), config.TalosVersion1_11)
	if err != nil {
		return err
	}

	raw, err := yaml.Marshal(bundle)
	if err != nil {
		return err
	}

	files := map[string][]byte{
		"secrets.yaml": raw,
		"k8s-ca.crt":   bundle.Certs.K8s.Crt,
		"k8s-ca.key":   bundle.Certs.K8s.Key,
	}

	stranger, err := secrets.NewBundle(secrets.NewClock(), config.TalosVersion1_11)
	if err != nil {
		return err
	}

	past := *bundle
	past.Clock = secrets.NewFixedClock(time.Now().Add(-2 * constants.TalosAPIDefaultCertificateValidityDuration))

	for name, of := range map[string]struct {
		issuer *secrets.Bundle
		role   role.Role
	}{
		"talosconfig":          {bundle, role.Admin},
		"talosconfig-reader":   {bundle, role.Reader},
		"talosconfig-operator": {bundle, role.Operator},
		"talosconfig-stranger": {stranger, role.Admin},
		"talosconfig-expired":  {&past, role.Admin},
	} {
		if files[name], err = talosconfig(o, of.issuer, of.role, name == "talosconfig-stranger", bundle); err != nil {
			return err
		}
	}

	for _, node := range o.Order {
		if files[node+".yaml"], err = worker(o, bundle, node); err != nil {
			return err
		}
	}

	for name, data := range files {
		if err := os.WriteFile(filepath.Join(o.Out, name), data, 0o600); err != nil {
			return err
		}
	}

	return nil
}

// talosconfig: the stranger's certificate is of another CA, but it trusts the lab's server, so the node refuses it.
func talosconfig(o Options, issuer *secrets.Bundle, r role.Role, stranger bool, bundle *secrets.Bundle) ([]byte, error) {
	cert, err := issuer.GenerateTalosAPIClientCertificate(role.MakeSet(r))
	if err != nil {
		return nil, err
	}

	addresses := make([]string, 0, len(o.Order))
	for _, node := range o.Order {
		addresses = append(addresses, o.Nodes[node])
	}

	ca := issuer.Certs.OS
	if stranger {
		ca = bundle.Certs.OS
	}

	return clientconfig.NewConfig(o.Cluster, addresses, ca.Crt, cert).Bytes()
}

func worker(o Options, bundle *secrets.Bundle, node string) ([]byte, error) {
	in, err := generate.NewInput(o.Cluster, o.Endpoint, constants.DefaultKubernetesVersion, // Talos 1.11 refuses the lab's newer one

		generate.WithSecretsBundle(bundle),
		generate.WithVersionContract(config.TalosVersion1_11),
		generate.WithInstallDisk("/dev/sda"),
	)
	if err != nil {
		return nil, err
	}

	provider, err := in.Config(machine.TypeWorker)
	if err != nil {
		return nil, err
	}

	provider, err = provider.PatchV1Alpha1(func(c *v1alpha1.Config) error {
		c.MachineConfig.MachineNetwork = &v1alpha1.NetworkConfig{NetworkHostname: node}

		return nil
	})
	if err != nil {
		return nil, err
	}

	return provider.EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
}

// ParseNode splits NAME=ADDRESS.
func ParseNode(word string) (name, address string, err error) {
	name, address, ok := strings.Cut(word, "=")
	if !ok || name == "" || address == "" {
		return "", "", fmt.Errorf("--node %q is not NAME=ADDRESS", word)
	}

	return name, address, nil
}
