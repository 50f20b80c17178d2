// Package host is the node seen from outside: it makes the namespaces, starts pid 1, boots it again, and cleans up.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"talos-nvidia-cdi/lab/node/internal/spec"
)

// The descriptors that stage two inherits: its start signal, and the supervisor's lifeline.
const (
	startFD    = 3
	LifelineFD = 4
)

// Run keeps the node described in file running until ctx ends: boots it, and boots it again when it asks for that.
func Run(ctx context.Context, file string) error {
	node, err := spec.Load[spec.Node](file)
	if err != nil {
		return err
	}

	for {
		again, err := boot(ctx, node, file)
		if err != nil || !again || ctx.Err() != nil {
			return err
		}
	}
}

// boot runs one life of the node; true when pid 1 ended in order to reboot.
func boot(ctx context.Context, node spec.Node, file string) (bool, error) {
	if err := errors.Join(disconnect(node), removeCgroups(node.Cgroup)); err != nil {
		return false, err
	}

	profile, err := spec.Load[spec.Profile](node.Profile)
	if err != nil {
		return false, err
	}

	if wait := time.Duration(profile.BootDelay * float64(time.Second)); wait > 0 {
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(wait):
		}
	}

	child, pidFile := exec.Command("/proc/self/exe", "stage2", "--spec", file), filepath.Join(node.RunDir, "pid")

	start, release, err := os.Pipe()
	if err != nil {
		return false, err
	}

	// pid 1 watches the reading end: when the supervisor is killed outright, its end closes and the node ends itself
	watched, lifeline, err := os.Pipe()
	if err != nil {
		return false, err
	}
	defer lifeline.Close() //nolint:errcheck

	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.ExtraFiles = []*os.File{start, watched}
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
	}

	if err := child.Start(); err != nil {
		return false, err
	}

	start.Close()   //nolint:errcheck
	watched.Close() //nolint:errcheck

	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()

	defer func() {
		os.Remove(pidFile) //nolint:errcheck

		if err := errors.Join(disconnect(node), removeCgroups(node.Cgroup)); err != nil {
			fmt.Println("cleaning up:", err)
		}
	}()

	if err := connect(node, child.Process.Pid); err != nil {
		child.Process.Kill() //nolint:errcheck
		<-ended

		return false, err
	}

	fmt.Println("node", node.Name, "pid", child.Process.Pid)
	release.Close() //nolint:errcheck // stage two goes on

	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(child.Process.Pid)), 0o644); err != nil {
		return false, err
	}

	select {
	case <-ctx.Done():
		child.Process.Kill() //nolint:errcheck // the end of pid 1 ends every process of its namespace
		<-ended

		return false, nil
	case err = <-ended:
	}

	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == spec.RebootExit {
		fmt.Println("node", node.Name, "reboots")

		return true, nil
	}

	return false, fmt.Errorf("pid 1 of %s ended: %w", node.Name, err)
}

// Stage2 runs inside the new namespaces: it waits for its network, builds the root and becomes pid 1's program.
func Stage2(file string) error {
	one := make([]byte, 1)
	os.NewFile(startFD, "start").Read(one) //nolint:errcheck // ends by the pipe's closing

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
