package boot

import (
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

// showFacts lays the profile's facts over /proc, as a kernel of that profile would show them.
func showFacts(profile spec.Profile, bootID string) error {
	files := map[string]string{
		"/proc/sys/kernel/random/boot_id": bootID + "\n",
		"/proc/version": fmt.Sprintf("Linux version %s (talos@lab) (gcc) #1 SMP PREEMPT_DYNAMIC (pretended by the lab)\n",
			profile.Kernel),
		"/proc/sys/kernel/osrelease": profile.Kernel + "\n",
		"/proc/modules":              "",
		"/proc/devices":              devices(profile, nil),
	}
	for name, value := range profile.Sysctls {
		files["/proc/sys/"+strings.ReplaceAll(name, ".", "/")] = fmt.Sprintf("%d\n", value)
	}

	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := overlay(path, files[path]); err != nil {
			return err
		}
	}

	if err := unix.Mount("tmpfs", "/proc/driver", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mounting /proc/driver: %w", err)
	}

	return nil
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

// devices is /proc/devices with the character majors of the loaded modules.
func devices(profile spec.Profile, loaded []string) string {
	lines := []string{"Character devices:", "  1 mem", "  5 /dev/tty", " 10 misc", "136 pts"}
	majors := map[string]string{"nvidia-frontend": "nvidia", "nvidia-uvm": "nvidia_uvm", "drm": "nvidia_drm"}

	for _, name := range slices.Sorted(maps.Keys(profile.Majors)) {
		if slices.Contains(loaded, majors[name]) {
			lines = append(lines, fmt.Sprintf("%3d %s", profile.Majors[name], name))
		}
	}

	return strings.Join(append(lines, "", "Block devices:", "259 blkext", ""), "\n")
}

// showModules makes the node look as it does with these kernel modules loaded: lists, driver version, device nodes.
func showModules(profile spec.Profile, loaded []string) error {
	var lines strings.Builder
	for _, name := range loaded {
		fmt.Fprintf(&lines, "%s 65536 0 - Live 0x0000000000000000 (PO)\n", name)
	}

	for path, text := range map[string]string{"/proc/modules": lines.String(), "/proc/devices": devices(profile, loaded)} {
		if err := os.WriteFile(factFile(path), []byte(text), 0o644); err != nil {
			return err
		}
	}

	if slices.Contains(loaded, "nvidia") {
		if err := os.MkdirAll("/proc/driver/nvidia", 0o755); err != nil {
			return err
		}

		version := fmt.Sprintf("NVRM version: NVIDIA UNIX x86_64 Kernel Module  %s  (pretended by the lab)\nGCC version:  gcc\n",
			profile.Driver)
		if err := os.WriteFile("/proc/driver/nvidia/version", []byte(version), 0o444); err != nil {
			return err
		}
	}

	return deviceNodes(profile, loaded)
}

type deviceNode struct {
	path, module, major string
	minor               uint32
}

func deviceNodes(profile spec.Profile, loaded []string) error {
	for _, node := range []deviceNode{
		{"/dev/nvidiactl", "nvidia", "nvidia-frontend", 255},
		{"/dev/nvidia0", "nvidia", "nvidia-frontend", 0},
		{"/dev/nvidia-modeset", "nvidia_modeset", "nvidia-frontend", 254},
		{"/dev/nvidia-uvm", "nvidia_uvm", "nvidia-uvm", 0},
		{"/dev/nvidia-uvm-tools", "nvidia_uvm", "nvidia-uvm", 1},
		{"/dev/dri/card0", "nvidia_drm", "drm", 0},
		{"/dev/dri/renderD128", "nvidia_drm", "drm", 128},
	} {
		if !slices.Contains(loaded, node.module) {
			continue
		}

		if err := makeNode(node.path, profile.Majors[node.major], node.minor); err != nil {
			return err
		}
	}

	if !slices.Contains(loaded, "nvidia_drm") {
		return nil
	}

	// nvidia-ctk finds a GPU's DRM nodes by its PCI address
	for link, target := range map[string]string{"card": "card0", "render": "renderD128"} {
		path := fmt.Sprintf("/dev/dri/by-path/pci-%s-%s", profile.GPU.PCI, link)
		if err := symlink("../"+target, path); err != nil {
			return err
		}

		if err := os.MkdirAll(filepath.Join("/sys/bus/pci/devices", profile.GPU.PCI, "drm", target), 0o755); err != nil {
			return err
		}
	}

	return nil
}

func symlink(target, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}

	if err := os.Symlink(target, path); err != nil && !os.IsExist(err) {
		return err
	}

	return nil
}

func makeNode(path string, major, minor uint32) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}

	err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor)))
	if err != nil && !os.IsExist(err) {
		return fmt.Errorf("mknod %s: %w", path, err)
	}

	return os.Chmod(path, 0o666)
}

// baseNodes makes the device nodes that every node has.
func baseNodes() error {
	for name, number := range map[string][2]uint32{
		"null": {1, 3}, "zero": {1, 5}, "full": {1, 7}, "random": {1, 8}, "urandom": {1, 9}, "tty": {5, 0}, "kmsg": {1, 11},
	} {
		if err := makeNode("/dev/"+name, number[0], number[1]); err != nil {
			return err
		}
	}

	for path, target := range map[string]string{"/dev/ptmx": "pts/ptmx", "/dev/fd": "/proc/self/fd"} {
		if err := symlink(target, path); err != nil {
			return err
		}
	}

	return nil
}
