package host

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"talos-nvidia-cdi/lab/node/internal/spec"
)

// Stage2 runs inside the new namespaces: it waits for its network, builds the root and becomes pid 1's program.
func Stage2(file, bootID string) error {
	runtime.LockOSThread() // a namespace belongs to the thread that entered it
	unix.CloseOnExec(startFD)
	unix.CloseOnExec(bootedFD)

	os.NewFile(startFD, "start").Read(make([]byte, 1)) //nolint:errcheck // ends by the pipe's closing

	node, err := spec.Load[spec.Node](file)
	if err != nil {
		return err
	}

	if err := joinCgroup(node.Cgroup); err != nil {
		return err
	}

	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("cgroup namespace: %w", err)
	}

	if err := unix.Sethostname([]byte(node.Name)); err != nil {
		return err
	}

	root := filepath.Join(node.RunDir, "root")
	if err := mountRoot(node, root); err != nil {
		return err
	}

	if err := publish(node, bootID, filepath.Join(root, "system")); err != nil {
		return err
	}

	if err := pivot(root); err != nil {
		return err
	}

	environment := []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}

	return unix.Exec("/sbin/init", []string{"/sbin/init"}, environment)
}

func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}

	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}

	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}

	if err := os.Chdir("/"); err != nil {
		return err
	}

	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}
