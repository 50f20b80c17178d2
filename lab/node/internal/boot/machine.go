// Package boot is pid 1 of the node: it pretends the hardware, puts the machine config in force, keeps services running.
package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"

	"talos-nvidia-cdi/lab/node/internal/documents"
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

const kernelLogBytes = 1 << 20

// Kernel is what the node pretends of its kernel.
type Kernel interface {
	// ShowModules makes the node look as it does with these modules loaded.
	ShowModules(loaded []Module) error
	// ShowSysctls makes /proc/sys show these values.
	ShowSysctls(values map[string]string) error
}

// Machine is the running node.
type Machine struct {
	Node    spec.Node
	Profile spec.Profile
	BootID  string
	Dmesg   *Ring

	stateDir string
	kernel   Kernel
	services *services
	reboot   chan struct{}

	mu        sync.Mutex
	config    config.Provider
	persisted config.Provider
	modules   []Module
	stage     Stage
	failure   string
	changed   func()
}

// New is a machine on which nothing was done yet; stateDir is its STATE partition.
func New(node spec.Node, profile spec.Profile, bootID, stateDir string, kernel Kernel) *Machine {
	m := &Machine{
		Node: node, Profile: profile, BootID: bootID, Dmesg: NewRing(kernelLogBytes),
		stateDir: stateDir, kernel: kernel, reboot: make(chan struct{}), changed: func() {},
	}
	m.services = newServices(m.Say, func() { m.notify() })

	return m
}

// Say writes a line to the kernel log that the node pretends, and to the console.
func (m *Machine) Say(format string, args ...any) {
	line := fmt.Sprintf("user: warning: [%s]: [talos] ", time.Now().UTC().Format(time.RFC3339Nano)) + fmt.Sprintf(format, args...)
	m.Dmesg.WriteLine(line)
	fmt.Println(line)
}

// OnChange has f called whenever config, modules, services or stage change.
func (m *Machine) OnChange(f func()) {
	m.mu.Lock()
	m.changed = f
	m.mu.Unlock()
}

func (m *Machine) notify() {
	m.mu.Lock()
	changed := m.changed
	m.mu.Unlock()
	changed()
}

// edit changes the machine's state and tells who follows it.
func (m *Machine) edit(change func()) {
	m.mu.Lock()
	change()
	m.mu.Unlock()
	m.notify()
}

// Persist writes provider as the config of the next boot, whole or not at all.
func (m *Machine) Persist(provider config.Provider) error {
	raw, err := provider.Bytes()
	if err != nil {
		return err
	}

	path := filepath.Join(m.stateDir, spec.ConfigName)
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return err
	}

	if err := os.Rename(path+".new", path); err != nil {
		return err
	}

	m.edit(func() { m.persisted = provider })

	return nil
}

// Use makes provider the running config: what can change without a reboot changes now.
func (m *Machine) Use(provider config.Provider) error {
	m.edit(func() { m.config = provider })

	if err := m.loadModules(provider); err != nil {
		return err
	}

	if err := m.kernel.ShowSysctls(m.Sysctls()); err != nil {
		return err
	}

	if stage, _ := m.Stage(); m.customizesLive() && stage == Running {
		if err := m.customizeLive(); err != nil {
			return err
		}
	}

	m.notify()

	return nil
}

func (m *Machine) loadModules(provider config.Provider) error {
	var wanted []string
	for _, module := range provider.Machine().Kernel().Modules() {
		wanted = append(wanted, module.Name())
	}

	if later, ok := provider.(*documents.Config); ok {
		wanted = append(wanted, later.Modules...)
	}

	m.mu.Lock()
	loaded, missing := withModules(m.modules, wanted, m.Profile)
	m.mu.Unlock()

	for _, name := range missing {
		m.Say("error loading module %q: module not found", name)
	}

	if err := m.kernel.ShowModules(loaded); err != nil {
		return err
	}

	m.edit(func() { m.modules = loaded })

	return nil
}

// Config is the running machine config; nil before it has been read.
func (m *Machine) Config() config.Provider {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.config
}

// Persisted is the config of the next boot; nil before it has been read.
func (m *Machine) Persisted() config.Provider {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.persisted
}

// Modules are the loaded kernel modules.
func (m *Machine) Modules() []Module {
	m.mu.Lock()
	defer m.mu.Unlock()

	return slices.Clone(m.modules)
}

// Sysctls are the kernel's parameters: the profile's, and over them the machine config's.
func (m *Machine) Sysctls() map[string]string {
	values := m.DefaultSysctls()

	if provider := m.Config(); provider != nil {
		for name, value := range provider.Machine().Sysctls() {
			values[name] = value
		}
	}

	return values
}

// DefaultSysctls are the profile's.
func (m *Machine) DefaultSysctls() map[string]string {
	values := map[string]string{}
	for name, value := range m.Profile.Sysctls {
		values[name] = fmt.Sprint(value)
	}

	return values
}

// Stage is where the boot stands, and why it failed if it did.
func (m *Machine) Stage() (stage Stage, failure string) {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.stage, m.failure
}

// Services as the machine API tells of them.
func (m *Machine) Services() []*machine.ServiceInfo { return m.services.list() }

// Reboot asks for another boot; see Rebooting.
func (m *Machine) Reboot() {
	var already bool

	m.edit(func() {
		already = m.stage == Rebooting
		m.stage = Rebooting
	})

	if !already {
		m.Say("reboot sequence: starting")
		close(m.reboot)
	}
}

// Rebooting closes when somebody asked for another boot; pid 1 then ends, and everything in the node with it.
func (m *Machine) Rebooting() <-chan struct{} { return m.reboot }
