package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"talos-nvidia-cdi/lab/node/internal/spec"
)

// mountRoot puts the node's root together below dir, in this process's own mount namespace.
//
// The layers become an overlay without an upper layer: its superblock is read-only like Talos's squashfs. A bind mount
// that was only remounted read-only would become writable again inside a privileged container.
func mountRoot(node spec.Node, dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}

	if err := mount("overlay", dir, "overlay", 0, "lowerdir="+strings.Join(node.Layers, ":")); err != nil {
		return err
	}

	for _, m := range []struct {
		kind, path, data string
		flags            uintptr
	}{
		{"proc", "proc", "", 0},
		{"sysfs", "sys", "", 0},
		{"tmpfs", "run", "mode=755", 0},
		{"tmpfs", "tmp", "mode=1777", 0},
		{"tmpfs", "dev", "mode=755", unix.MS_NOSUID},
		{"tmpfs", "system", "mode=755", 0},
		{"tmpfs", "etc/cri/conf.d", "mode=755", 0},
		{"tmpfs", "usr/lib/udev/rules.d", "mode=755", 0},
		{"devpts", "dev/pts", "newinstance,ptmxmode=0666,mode=620", 0},
		{"tmpfs", "dev/shm", "mode=1777", 0},
		{"mqueue", "dev/mqueue", "", 0},
		{"tmpfs", "sys/bus/pci/devices", "mode=755", 0},
	} {
		if err := mount(m.kind, filepath.Join(dir, m.path), m.kind, m.flags, m.data); err != nil {
			return err
		}
	}

	// the extension's own parts lie in the layers, below what was just mounted
	if err := copyParts(node, filepath.Join(dir, "etc/cri/conf.d")); err != nil {
		return err
	}

	if err := mountCgroups(dir); err != nil {
		return err
	}

	for target, source := range map[string]string{
		"var":            filepath.Join(node.StateDir, "var"),
		"system/state":   filepath.Join(node.StateDir, "state"),
		"etc/kubernetes": filepath.Join(node.StateDir, "kubernetes"),
	} {
		if err := mount(source, filepath.Join(dir, target), "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}

	// CNI plugins put their configuration there
	return writableCopy(node, dir, "etc/cni/net.d")
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}

	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", source, target, err)
	}

	return nil
}

// lookup returns the file names of one folder over all layers, the uppermost file winning.
func lookup(node spec.Node, folder string) map[string]string {
	found := map[string]string{}

	for i := len(node.Layers) - 1; i >= 0; i-- {
		entries, err := os.ReadDir(filepath.Join(node.Layers[i], folder))
		if err != nil {
			continue
		}

		for _, entry := range entries {
			if entry.Type().IsRegular() {
				found[entry.Name()] = filepath.Join(node.Layers[i], folder, entry.Name())
			}
		}
	}

	return found
}

func copyFiles(files map[string]string, target string) error {
	for name, source := range files {
		raw, err := os.ReadFile(source)
		if err != nil {
			return err
		}

		if err := os.WriteFile(filepath.Join(target, name), raw, 0o600); err != nil {
			return err
		}
	}

	return nil
}

func copyParts(node spec.Node, target string) error {
	return copyFiles(lookup(node, "etc/cri/conf.d"), target)
}

func writableCopy(node spec.Node, dir, folder string) error {
	files := lookup(node, folder)

	if err := mount("tmpfs", filepath.Join(dir, folder), "tmpfs", 0, "mode=755"); err != nil {
		return err
	}

	return copyFiles(files, filepath.Join(dir, folder))
}
