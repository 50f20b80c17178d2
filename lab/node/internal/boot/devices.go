package boot

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"talos-nvidia-cdi/lab/node/internal/spec"
)

// gpuNodes are the device nodes of one GPU: who makes them, and by which major of /proc/devices.
var gpuNodes = []struct {
	path, module, major string
	minor               uint32
}{
	{"/dev/nvidiactl", "nvidia", "nvidia-frontend", 255},
	{"/dev/nvidia0", "nvidia", "nvidia-frontend", 0},
	{"/dev/nvidia-modeset", "nvidia_modeset", "nvidia-frontend", 254},
	{"/dev/nvidia-uvm", "nvidia_uvm", "nvidia-uvm", 0},
	{"/dev/nvidia-uvm-tools", "nvidia_uvm", "nvidia-uvm", 1},
	{"/dev/dri/card0", "nvidia_drm", "drm", 0},
	{"/dev/dri/renderD128", "nvidia_drm", "drm", 128},
}

func deviceNodes(profile spec.Profile, loaded []Module) error {
	for _, node := range gpuNodes {
		if !isLoaded(loaded, node.module) {
			continue
		}

		major, ok := profile.Majors[node.major]
		if !ok {
			return fmt.Errorf("the profile's majors lack %q, for %s", node.major, node.path)
		}

		if err := makeNode(node.path, major, node.minor); err != nil {
			return err
		}
	}

	if !isLoaded(loaded, "nvidia_drm") {
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
