package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	talosconfig "github.com/siderolabs/talos/pkg/machinery/config/config"

	"talos-nvidia-cdi/lab/node/internal/documents"
	"talos-nvidia-cdi/lab/node/internal/spec"
)

// failedBootWait is how long a failed boot can be looked at before the node reboots; Talos prints another number than it
// waits (v1alpha1_sequencer.go, 1.11).
const failedBootWait = 5 * time.Minute

const kubeletConfig = "/etc/kubernetes/kubelet.yaml"

// Boot puts the machine config in force and starts the services. A failure stays readable through the API, as on Talos.
func (m *Machine) Boot() {
	go m.services.reaper.loop()

	m.Say("boot sequence: starting (Talos %s, kernel %s, boot %s; pretended by the lab)", m.Profile.Talos, m.Profile.Kernel, m.BootID)

	for _, id := range []string{"apid", "machined"} {
		m.services.builtin(id)
	}

	if err := m.boot(); err != nil {
		m.Say("boot sequence: failed: %v", err)
		m.Say("boot sequence failed, rebooting in 35 minutes")
		m.edit(func() { m.failure = err.Error() })
		time.AfterFunc(failedBootWait, m.Reboot)

		return
	}

	for _, service := range m.launch() {
		m.services.waitHealthy(service)
	}

	m.edit(func() {
		if m.stage == Booting {
			m.stage = Running
		}
	})
	m.Say("boot sequence: done")
}

func (m *Machine) boot() error {
	for _, task := range []struct {
		name string
		do   func() error
	}{
		{"loadConfig", m.loadConfig},
		{"forwardService", m.forwardService},
		{"mountEphemeral", ephemeral},
		{"writeUdevRules", m.writeUdevRules},
		{"writeUserFiles", m.writeUserFiles},
		{"mergeCRIConfig", m.mergeCRIConfig},
	} {
		if err := task.do(); err != nil {
			return fmt.Errorf("task %s: failed: %w", task.name, err)
		}
	}

	return nil
}

func (m *Machine) loadConfig() error {
	raw, err := os.ReadFile(filepath.Join(m.stateDir, spec.ConfigName))
	if err != nil {
		return err
	}

	provider, err := documents.Load(raw, m.Profile.Minor())
	if err != nil {
		return err
	}

	if provider.RawV1Alpha1() == nil {
		return errors.New("the config has no v1alpha1 document")
	}

	return m.Assume(provider)
}

// Assume takes provider for the config that this boot found.
func (m *Machine) Assume(provider config.Provider) error {
	m.edit(func() { m.persisted = provider })

	return m.Use(provider)
}

func (m *Machine) writeUserFiles() error {
	files, err := m.Config().Machine().Files()
	if err != nil {
		return err
	}

	if m.customizesLive() {
		files = slices.DeleteFunc(files, func(file talosconfig.File) bool { return file.Path() == customizationPart })
	}

	return writeFiles(files)
}

// ephemeral prepares /var as Talos finds it: /var/run is a link to /run (volume_config.go).
func ephemeral() error {
	for _, dir := range []string{"/run/cdi", "/var/lib/containerd", "/var/lib/kubelet", "/var/log", "/var/tmp"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}

	if target, err := os.Readlink("/var/run"); err == nil && target == "/run" {
		return nil
	}

	if err := os.RemoveAll("/var/run"); err != nil {
		return err
	}

	return os.Symlink("/run", "/var/run")
}

// launch starts the services of this node and returns their names; without a kubelet's config there is none.
func (m *Machine) launch() []string {
	all := []Service{{
		ID: "cri", Args: []string{"/bin/containerd", "--config", "/etc/cri/containerd.toml"}, Health: containerdServes,
	}}

	if _, err := os.Stat(kubeletConfig); err == nil {
		all = append(all, Service{ID: "kubelet", After: "cri", Health: kubeletServes, Args: []string{
			"/usr/bin/kubelet", "--config=" + kubeletConfig, "--kubeconfig=/etc/kubernetes/kubelet.kubeconfig",
			"--hostname-override=" + m.Node.Name, "--node-ip=" + m.Node.Address,
			"--root-dir=/var/lib/kubelet", "--cert-dir=/var/lib/kubelet/pki",
		}})

		go m.keepNodeMetadata()
	} else if !errors.Is(err, fs.ErrNotExist) {
		m.Say("kubelet: %v", err)
	}

	if m.Profile.CDIService {
		go m.services.untilSuccess(Service{ID: "ext-nvidia-cdi-gen", Args: []string{
			"/usr/local/bin/nvidia-ctk", "cdi", "generate", "--output=/run/cdi/nvidia.yaml",
		}})
	}

	var ids []string

	for _, service := range all {
		ids = append(ids, service.ID)

		go m.services.keep(service)
	}

	return ids
}

// forwardService leads the cluster's API service address to the API server: no kube-proxy runs in the lab.
func (m *Machine) forwardService() error {
	if m.Node.APIServer == "" {
		return nil
	}

	for _, chain := range []string{"PREROUTING", "OUTPUT"} {
		err := m.services.reaper.run("/usr/sbin/iptables", "-w", "-t", "nat", "-A", chain, "-d", m.Node.ServiceIP+"/32",
			"-p", "tcp", "--dport", "443", "-j", "DNAT", "--to-destination", m.Node.APIServer)
		if err != nil {
			return err
		}
	}

	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}
