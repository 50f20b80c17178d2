package api

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	configres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"

	"talos-nvidia-cdi/lab/node/internal/boot"
)

// Resources is the node's COSI state, kept as the machine is.
type Resources struct {
	Core  state.CoreState
	state state.State
	m     *boot.Machine
}

// NewResources returns the state of m and follows its changes.
func NewResources(m *boot.Machine) *Resources {
	core := namespaced.NewState(inmem.Build)
	r := &Resources{Core: core, state: state.WrapCore(core), m: m}
	m.OnChange(r.sync)
	r.sync()

	return r
}

func (r *Resources) sync() {
	for _, wanted := range r.wanted() {
		if err := put(r.state, wanted); err != nil {
			r.m.Say("resource %s: %v", wanted.Metadata(), err)
		}
	}
}

func (r *Resources) wanted() []resource.Resource {
	found := []resource.Resource{r.machineStatus(), pciDevice(r.m)}

	for i, extension := range r.m.Profile.Extensions {
		status := runtime.NewExtensionStatus(runtime.NamespaceName, fmt.Sprint(i))
		status.TypedSpec().Image = fmt.Sprintf("%03d.%s-%s.sqsh", i, extension.Name, extension.Version)
		status.TypedSpec().Metadata = extensions.Metadata{
			Name: extension.Name, Version: extension.Version, Author: "the lab (pretended)",
			Description: "pretended by the lab's node",
		}
		found = append(found, status)
	}

	for _, name := range r.m.Modules() {
		module := runtime.NewLoadedKernelModule(runtime.NamespaceName, name)
		module.TypedSpec().Size, module.TypedSpec().State = 65536, "Live"
		module.TypedSpec().Address = "0x0000000000000000"
		found = append(found, module)
	}

	for name := range r.m.Profile.Sysctls {
		id := "proc.sys." + name
		param := runtime.NewKernelParamStatus(runtime.NamespaceName, id)

		current, err := os.ReadFile(boot.Shown("/proc/sys/" + strings.ReplaceAll(name, ".", "/")))
		param.TypedSpec().Current = strings.TrimSpace(string(current))
		param.TypedSpec().Unsupported = err != nil
		found = append(found, param)
	}

	if provider := r.m.Config(); provider != nil {
		found = append(found, configres.NewMachineConfig(provider))
	}

	return found
}

func (r *Resources) machineStatus() resource.Resource {
	status, stages := runtime.NewMachineStatus(), map[boot.Stage]runtime.MachineStage{
		boot.Booting:   runtime.MachineStageBooting,
		boot.Running:   runtime.MachineStageRunning,
		boot.Rebooting: runtime.MachineStageRebooting,
	}
	stage, failure := r.m.Stage()
	status.TypedSpec().Stage = stages[stage]
	status.TypedSpec().Status.Ready = stage == boot.Running && failure == ""

	if failure != "" {
		status.TypedSpec().Status.UnmetConditions = []runtime.UnmetCondition{{Name: "boot", Reason: failure}}
	}

	return status
}

func pciDevice(m *boot.Machine) resource.Resource {
	device := hardware.NewPCIDeviceInfo(m.Profile.GPU.PCI)
	spec := device.TypedSpec()
	spec.Class, spec.Subclass, spec.ClassID, spec.SubclassID = "Display controller", "VGA compatible controller", "0x03", "0x00"
	spec.Vendor, spec.VendorID = "NVIDIA Corporation", "0x10de"
	spec.Product, spec.ProductID = m.Profile.GPU.Model, "0x1c30"

	for _, module := range m.Modules() {
		if module == "nvidia" {
			spec.Driver = "nvidia"
		}
	}

	return device
}

// put creates the resource, or updates the one that is there if its spec differs.
func put(st state.State, wanted resource.Resource) error {
	ctx := context.Background()

	current, err := st.Get(ctx, wanted.Metadata())
	if state.IsNotFoundError(err) {
		return st.Create(ctx, wanted)
	}

	if err != nil {
		return err
	}

	if resource.Equal(withVersionOf(wanted, current), current) {
		return nil
	}

	return st.Update(ctx, withVersionOf(wanted, current))
}

func withVersionOf(wanted, current resource.Resource) resource.Resource {
	wanted.Metadata().SetVersion(current.Metadata().Version())
	wanted.Metadata().SetCreated(current.Metadata().Created())
	wanted.Metadata().SetUpdated(current.Metadata().Updated())

	return wanted
}
