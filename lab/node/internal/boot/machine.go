// Package boot is pid 1 of the node: it pretends the hardware, puts the machine config in force, keeps services running.
package boot

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"

	"talos-nvidia-cdi/lab/node/internal/spec"
)

// Stage of a boot.
type Stage int

// The stages that a MachineStatus resource names.
const (
	Booting Stage = iota
	Running
	Rebooting
)

// Machine is the running node.
type Machine struct {
	Node    spec.Node
	Profile spec.Profile
	BootID  string
	Dmesg   *Ring

	mu       sync.Mutex
	config   config.Provider
	modules  []string
	stage    Stage
	failure  string
	services *services
	changed  func()
}

// New loads what the lab published for this node and takes a new boot id.
func New() (*Machine, error) {
	node, err := spec.Load[spec.Node](spec.NodeFile)
	if err != nil {
		return nil, err
	}

	profile, err := spec.Load[spec.Profile](spec.ProfileFile)
	if err != nil {
		return nil, err
	}

	m := Unbooted(profile)
	m.Node = node

	return m, nil
}

// Unbooted is a machine of these facts on which nothing was done: what tests of the API serve.
func Unbooted(profile spec.Profile) *Machine {
	m := &Machine{Profile: profile, BootID: uuid(), Dmesg: NewRing(1 << 20), changed: func() {}}
	m.services = newServices(m.Say)

	return m
}

// Assume takes provider for the running config without acting on it.
func (m *Machine) Assume(provider config.Provider) {
	m.mu.Lock()
	m.config = provider
	m.mu.Unlock()
	m.changed()
}

func uuid() string {
	b := make([]byte, 16)
	rand.Read(b) //nolint:errcheck // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80

	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Say writes a line to the kernel log that the node pretends, and to the console.
func (m *Machine) Say(format string, args ...any) {
	line := fmt.Sprintf("user: warning: [%s]: [talos] "+format, append([]any{time.Now().UTC().Format(time.RFC3339Nano)}, args...)...)
	m.Dmesg.WriteLine(line)
	fmt.Println(line)
}

// OnChange has f called whenever config, modules or stage change.
func (m *Machine) OnChange(f func()) { m.changed = f }

// Prepare makes devices and facts; after it the machine API may answer.
func (m *Machine) Prepare() error {
	if err := baseNodes(); err != nil {
		return err
	}

	return showFacts(m.Profile, m.BootID)
}

// Boot puts the machine config in force and starts the services. A failure stays readable through the API, as on Talos.
func (m *Machine) Boot() {
	go m.services.reap()

	if err := m.boot(); err != nil {
		m.Say("boot sequence: failed: %v", err)
		m.Say("boot sequence failed, rebooting in 35 minutes") // what Talos prints; it waits for five

		m.mu.Lock()
		m.failure = err.Error()
		m.mu.Unlock()
		m.changed()
		time.AfterFunc(5*time.Minute, m.Reboot)

		return
	}

	m.setStage(Running)
	m.Say("boot sequence: done")
}

func (m *Machine) boot() error {
	if staged, err := os.ReadFile(spec.StagedFile); err == nil {
		if err := m.Persist(staged); err != nil {
			return err
		}

		if err := os.Remove(spec.StagedFile); err != nil {
			return err
		}
	}

	raw, err := os.ReadFile(spec.ConfigFile)
	if err != nil {
		return err
	}

	provider, err := configloader.NewFromBytes(raw)
	if err != nil {
		return err
	}

	m.mu.Lock()
	m.config = provider
	m.mu.Unlock()

	if err := m.LoadModules(provider); err != nil {
		return err
	}

	if err := m.forwardService(); err != nil {
		return err
	}

	files, err := provider.Machine().Files()
	if err != nil {
		return err
	}

	if err := writeFiles(files); err != nil {
		return fmt.Errorf("error running task writeUserFiles: %w", err)
	}

	if err := mergeParts(); err != nil {
		return fmt.Errorf("error running task writeUserFiles: %w", err)
	}

	for _, dir := range []string{"/run/cdi", "/var/cdi", "/var/lib/containerd", "/var/lib/kubelet"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}

	// Talos makes /var/run a link to /run when its services start (volume_config.go)
	if err := os.RemoveAll("/var/run"); err != nil {
		return err
	}

	if err := os.Symlink("/run", "/var/run"); err != nil {
		return err
	}

	m.startServices()

	return nil
}

func (m *Machine) startServices() {
	for _, id := range []string{"apid", "machined"} {
		m.services.set(Status{ID: id, State: "Running", Message: "part of pid 1", Healthy: true})
	}

	for _, extension := range m.Profile.Extensions {
		m.Say("extension %s %s", extension.Name, extension.Version)
	}

	m.services.launch(Service{ID: "cri", Args: []string{"/bin/containerd", "--config", "/etc/cri/containerd.toml"}})

	if _, err := os.Stat("/etc/kubernetes/kubelet.yaml"); err == nil {
		m.services.launch(Service{ID: "kubelet", After: "/run/containerd/containerd.sock", Args: []string{
			"/usr/bin/kubelet", "--config=/etc/kubernetes/kubelet.yaml", "--kubeconfig=/etc/kubernetes/kubelet.kubeconfig",
			"--hostname-override=" + m.Node.Name, "--node-ip=" + m.Node.Address,
			"--root-dir=/var/lib/kubelet", "--cert-dir=/var/lib/kubelet/pki",
		}})

		go m.keepLabels()
	}
}

// forwardService leads the cluster's API service address to the API server: no kube-proxy runs in the lab.
func (m *Machine) forwardService() error {
	if m.Node.APIServer == "" {
		return nil
	}

	for _, chain := range []string{"PREROUTING", "OUTPUT"} {
		rule := exec.Command("/usr/sbin/iptables", "-w", "-t", "nat", "-A", chain, "-d", m.Node.ServiceIP+"/32",
			"-p", "tcp", "--dport", "443", "-j", "DNAT", "--to-destination", m.Node.APIServer)
		// the reaper may have taken its exit status: then ECHILD is no failure
		if out, err := rule.CombinedOutput(); err != nil && !strings.Contains(err.Error(), "no child processes") {
			return fmt.Errorf("%s: %s: %w", rule, strings.TrimSpace(string(out)), err)
		}
	}

	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

// LoadModules loads the kernel modules that a config names and that are not loaded; none is ever unloaded.
func (m *Machine) LoadModules(provider config.Provider) error {
	m.mu.Lock()

	for _, module := range provider.Machine().Kernel().Modules() {
		if !slices.Contains(m.modules, module.Name()) {
			m.modules = append(m.modules, module.Name())
		}
	}

	loaded := slices.Clone(m.modules)
	m.mu.Unlock()
	m.changed()

	return showModules(m.Profile, loaded)
}

// Persist writes raw as the config in force, whole or not at all.
func (m *Machine) Persist(raw []byte) error {
	fresh := spec.ConfigFile + ".new"
	if err := os.WriteFile(fresh, raw, 0o600); err != nil {
		return err
	}

	return os.Rename(fresh, spec.ConfigFile)
}

// Use makes provider the running config: what can change without a reboot changes now.
func (m *Machine) Use(provider config.Provider) error {
	m.mu.Lock()
	m.config = provider
	m.mu.Unlock()

	return m.LoadModules(provider)
}

// Config is the running machine config; nil before it has been read.
func (m *Machine) Config() config.Provider {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.config
}

// Modules are the loaded kernel modules.
func (m *Machine) Modules() []string {
	m.mu.Lock()
	defer m.mu.Unlock()

	return slices.Clone(m.modules)
}

// Stage is where the boot stands, and why it failed if it did.
func (m *Machine) Stage() (stage Stage, failure string) {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.stage, m.failure
}

func (m *Machine) setStage(stage Stage) {
	m.mu.Lock()
	m.stage = stage
	m.mu.Unlock()
	m.changed()
}

// Services in the order in which Talos lists them.
func (m *Machine) Services() []Status {
	return m.services.list("apid", "cri", "kubelet", "machined")
}

// Reboot ends pid 1 and so everything in the node, after the answer to the call that asked for it has left.
func (m *Machine) Reboot() {
	m.setStage(Rebooting)
	m.Say("reboot sequence: starting")
	time.AfterFunc(300*time.Millisecond, func() { os.Exit(spec.RebootExit) })
}

// RestartCRI ends containerd; it starts again with the config as it is then.
func (m *Machine) RestartCRI() error { return m.services.signal("cri", syscall.SIGTERM) }

// WatchLifeline ends the node when the supervisor's end of the pipe closes.
func WatchLifeline(fd uintptr) {
	pipe := os.NewFile(fd, "lifeline")
	pipe.Read(make([]byte, 1)) //nolint:errcheck // ends by the pipe's closing
	os.Exit(1)
}
