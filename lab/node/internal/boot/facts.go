package boot

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"talos-nvidia-cdi/lab/node/internal/spec"
)

// factsDir holds the files that are shown in place of the kernel's own.
const factsDir = "/run/lab-facts"

// Facts lays the profile's facts over the node's own /proc, /dev and /sys.
type Facts struct{ profile spec.Profile }

// Pretend makes the device nodes that every node has, and shows the kernel's facts.
func Pretend(profile spec.Profile, bootID string) (*Facts, error) {
	if err := baseNodes(); err != nil {
		return nil, err
	}

	f := &Facts{profile: profile}

	files := map[string]string{
		"/proc/sys/kernel/random/boot_id": bootID + "\n",
		"/proc/version": fmt.Sprintf("Linux version %s (talos@lab) (gcc) #1 SMP PREEMPT_DYNAMIC (pretended by the lab)\n",
			profile.Kernel),
		"/proc/sys/kernel/osrelease": profile.Kernel + "\n",
		"/proc/modules":              "",
		"/proc/devices":              f.devices(nil),
	}

	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := overlay(path, files[path]); err != nil {
			return nil, err
		}
	}

	if err := unix.Mount("tmpfs", "/proc/driver", "tmpfs", 0, "mode=755"); err != nil {
		return nil, fmt.Errorf("mounting /proc/driver: %w", err)
	}

	return f, nil
}

// Shown is the file that the machine API reads for path: a pretended fact, or path itself.
func Shown(path string) string {
	if fact := factFile(filepath.Clean(path)); exists(fact) {
		return fact
	}

	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)

	return err == nil
}

func factFile(path string) string {
	return filepath.Join(factsDir, strings.ReplaceAll(strings.Trim(path, "/"), "/", "_"))
}

// overlay shows text at path, if the kernel has such a file here.
func overlay(path, text string) error {
	if exists(factFile(path)) {
		return os.WriteFile(factFile(path), []byte(text), 0o644) // the mount shows the same inode
	}

	if err := os.MkdirAll(factsDir, 0o755); err != nil {
		return err
	}

	if err := os.WriteFile(factFile(path), []byte(text), 0o644); err != nil {
		return err
	}

	err := unix.Mount(factFile(path), path, "", unix.MS_BIND, "")
	if errors.Is(err, unix.ENOENT) {
		// /proc/modules where this machine's kernel loads none; net.core.bpf_jit_harden is not in a namespace's /proc:
		// then the machine API alone shows it
		return nil
	}

	if err != nil {
		return fmt.Errorf("showing %s: %w", path, err)
	}

	return nil
}

// ShowSysctls shows the values; those that belong to the node's network namespace are really set.
func (f *Facts) ShowSysctls(values map[string]string) error {
	for name, value := range values {
		path := sysctlPath(name)

		if strings.HasPrefix(name, "net.ipv4.") || strings.HasPrefix(name, "net.ipv6.") {
			if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
				return err
			}

			continue
		}

		if err := overlay(path, value+"\n"); err != nil {
			return err
		}
	}

	return nil
}

// sysctlPath is the file of a parameter such as net.core.bpf_jit_harden.
func sysctlPath(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// devices is /proc/devices with the character majors of the loaded modules.
func (f *Facts) devices(loaded []Module) string {
	lines := []string{"Character devices:", "  1 mem", "  5 /dev/tty", " 10 misc", "136 pts"}
	owners := map[string]string{"nvidia-frontend": "nvidia", "nvidia-uvm": "nvidia_uvm", "drm": "nvidia_drm"}

	byMajor := slices.SortedFunc(maps.Keys(f.profile.Majors), func(a, b string) int {
		return cmp.Compare(f.profile.Majors[a], f.profile.Majors[b])
	})
	for _, name := range byMajor {
		if isLoaded(loaded, owners[name]) {
			lines = append(lines, fmt.Sprintf("%3d %s", f.profile.Majors[name], name))
		}
	}

	return strings.Join(append(lines, "", "Block devices:", "259 blkext", ""), "\n")
}

// ShowModules writes the kernel's lists and the driver's version, and makes the device nodes.
func (f *Facts) ShowModules(loaded []Module) error {
	for path, text := range map[string]string{"/proc/modules": procModules(loaded), "/proc/devices": f.devices(loaded)} {
		if err := overlay(path, text); err != nil {
			return err
		}
	}

	if isLoaded(loaded, "nvidia") {
		if err := os.MkdirAll("/proc/driver/nvidia", 0o755); err != nil {
			return err
		}

		version := fmt.Sprintf("NVRM version: NVIDIA UNIX x86_64 Kernel Module  %s  (pretended by the lab)\nGCC version:  gcc\n",
			f.profile.Driver)
		if err := os.WriteFile("/proc/driver/nvidia/version", []byte(version), 0o444); err != nil {
			return err
		}
	}

	return deviceNodes(f.profile, loaded)
}
