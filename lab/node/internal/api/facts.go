package api

import (
	"fmt"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/siderolabs/talos/pkg/machinery/extensions"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"

	"talos-nvidia-cdi/lab/node/internal/boot"
)

// quadroP2000 is the PCI id of the seed's GPU (pci.ids).
const quadroP2000 = "0x1c30"

func machineStatus(m *boot.Machine) resource.Resource {
	status, stages := runtime.NewMachineStatus(), map[boot.Stage]runtime.MachineStage{
		boot.Booting:   runtime.MachineStageBooting,
		boot.Running:   runtime.MachineStageRunning,
		boot.Rebooting: runtime.MachineStageRebooting,
	}
	stage, failure := m.Stage()
	status.TypedSpec().Stage = stages[stage]

	var unmet []runtime.UnmetCondition
	if failure != "" {
		unmet = append(unmet, runtime.UnmetCondition{Name: "boot", Reason: failure})
	}

	for _, service := range m.Services() {
		if service.State != "Running" || !service.Health.Healthy {
			unmet = append(unmet, runtime.UnmetCondition{
				Name: "services", Reason: fmt.Sprintf("service %q not up: %s %s", service.Id, service.State, service.Health.LastMessage),
			})
		}
	}

	status.TypedSpec().Status = runtime.MachineStatusStatus{Ready: stage == boot.Running && len(unmet) == 0, UnmetConditions: unmet}

	return status
}

func extensionStatuses(m *boot.Machine) []resource.Resource {
	var found []resource.Resource

	for i, extension := range m.Profile.Extensions {
		status := runtime.NewExtensionStatus(runtime.NamespaceName, fmt.Sprint(i))
		status.TypedSpec().Image = fmt.Sprintf("%03d.%s-%s.sqsh", i, extension.Name, extension.Version)
		status.TypedSpec().Metadata = extensions.Metadata{
			Name: extension.Name, Version: extension.Version, Author: "the lab (pretended)",
			Description: "pretended by the lab's node",
		}
		found = append(found, status)
	}

	return found
}

func kernelModules(m *boot.Machine) []resource.Resource {
	var found []resource.Resource

	loaded := m.Modules()
	for _, one := range loaded {
		module := runtime.NewLoadedKernelModule(runtime.NamespaceName, one.Name)
		users := one.UsedBy(loaded)
		*module.TypedSpec() = runtime.LoadedKernelModuleSpec{
			Size: boot.ModuleSize, ReferenceCount: len(users), Dependencies: users, State: "Live", Address: "0x0000000000000000",
		}
		found = append(found, module)
	}

	return found
}

func kernelParams(m *boot.Machine) []resource.Resource {
	var found []resource.Resource

	before := m.DefaultSysctls()
	for name, value := range m.Sysctls() {
		param := runtime.NewKernelParamStatus(runtime.NamespaceName, "proc.sys."+name)
		param.TypedSpec().Current, param.TypedSpec().Default = value, before[name]
		found = append(found, param)
	}

	return found
}

func pciDevice(m *boot.Machine) resource.Resource {
	device := hardware.NewPCIDeviceInfo(m.Profile.GPU.PCI)
	spec := device.TypedSpec()
	spec.Class, spec.ClassID = "Display controller", "0x03"
	spec.Subclass, spec.SubclassID = "VGA compatible controller", "0x00"
	spec.Vendor, spec.VendorID = "NVIDIA Corporation", "0x10de"
	spec.Product, spec.ProductID = m.Profile.GPU.Model, quadroP2000

	for _, module := range m.Modules() {
		if module.Name == "nvidia" {
			spec.Driver = "nvidia"
		}
	}

	return device
}
