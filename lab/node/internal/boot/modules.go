package boot

import (
	"fmt"
	"slices"
	"strings"

	"talos-nvidia-cdi/lab/node/internal/spec"
)

// Module is a loaded kernel module.
type Module struct {
	Name string
	// Needs are the modules that it uses.
	Needs []string
}

// nvidiaModules are what the kernel module extension brings, and what each of them uses.
var nvidiaModules = map[string][]string{
	"nvidia":         nil,
	"nvidia_uvm":     {"nvidia"},
	"nvidia_modeset": {"nvidia"},
	"nvidia_drm":     {"nvidia_modeset"},
	"nvidia_peermem": {"nvidia"},
}

// ownModules are some of those that Talos's kernel itself has.
var ownModules = []string{
	"br_netfilter", "dm_mod", "dm_thin_pool", "iscsi_tcp", "nbd", "nvme_tcp", "overlay", "vfio_iommu_type1", "vfio_pci", "zram",
}

// withModules loads what is wanted and what that uses, as modprobe does; nothing is ever unloaded. NVIDIA's modules are
// there only with their extension.
func withModules(loaded []Module, wanted []string, profile spec.Profile) (all []Module, missing []string) {
	all = slices.Clone(loaded)

	var load func(name string)

	load = func(name string) {
		if slices.ContainsFunc(all, func(m Module) bool { return m.Name == name }) {
			return
		}

		for _, needed := range nvidiaModules[name] {
			load(needed)
		}

		all = append(all, Module{Name: name, Needs: nvidiaModules[name]})
	}

	for _, name := range wanted {
		name = strings.ReplaceAll(name, "-", "_") // the kernel's own spelling

		_, nvidia := nvidiaModules[name]
		if nvidia && hasDriver(profile) || slices.Contains(ownModules, name) {
			load(name)
		} else {
			missing = append(missing, name)
		}
	}

	return all, missing
}

// hasDriver: one of nonfree-kmod-nvidia-{lts,production}, nvidia-open-gpu-kernel-modules-{lts,production} is installed.
func hasDriver(profile spec.Profile) bool {
	return profile.Driver != "" && slices.ContainsFunc(profile.Extensions, func(e spec.Extension) bool {
		return strings.HasPrefix(e.Name, "nonfree-kmod-nvidia") || strings.HasPrefix(e.Name, "nvidia-open-gpu-kernel-modules")
	})
}

func isLoaded(loaded []Module, name string) bool {
	return slices.ContainsFunc(loaded, func(m Module) bool { return m.Name == name })
}

// UsedBy names the modules of all that use m.
func (m Module) UsedBy(all []Module) []string {
	var users []string

	for _, other := range all {
		if slices.Contains(other.Needs, m.Name) {
			users = append(users, other.Name)
		}
	}

	return users
}

// procModules is /proc/modules with these loaded.
func procModules(loaded []Module) string {
	var text strings.Builder

	for _, m := range slices.Backward(loaded) {
		users, list := m.UsedBy(loaded), "-"
		if len(users) > 0 {
			list = strings.Join(users, ",") + ","
		}

		fmt.Fprintf(&text, "%s %d %d %s Live 0x0000000000000000 (PO)\n", m.Name, ModuleSize, len(users), list)
	}

	return text.String()
}

// ModuleSize is what every module claims, in bytes.
const ModuleSize = 65536
