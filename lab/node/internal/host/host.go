// Package host is the node seen from outside: it makes the namespaces, starts pid 1, boots it again, and cleans up.
package host

import (
	"context"
	"crypto/rand"
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

// The descriptors that stage two inherits.
const (
	startFD = 3 // closes when the network is there
	// LifelineFD closes with the supervisor, however that ends; pid 1 keeps it.
	LifelineFD = 4
	bootedFD   = 5 // closed by stage two's turning into pid 1's program
)

// Run keeps the node described in file running until ctx ends: boots it, and boots it again when it asks for that.
func Run(ctx context.Context, file string) error {
	node, err := spec.Load[spec.Node](file)
	if err != nil {
		return err
	}

	for {
		if err := cleanUp(node); err != nil {
			return err
		}

		again, err := boot(ctx, node, file)

		if failed := cleanUp(node); err == nil {
			err = failed
		}

		if err != nil || !again || ctx.Err() != nil {
			return err
		}

		fmt.Println("node", node.Name, "reboots")
	}
}

// Clean removes what a supervisor of the node described in file left when it was killed outright: the node itself ends
// with it, but cgroups and the route stay.
func Clean(file string) error {
	node, err := spec.Load[spec.Node](file)
	if err != nil {
		return err
	}

	return cleanUp(node)
}

// cleanUp removes what an earlier life left, this supervisor's or another's that was killed outright.
func cleanUp(node spec.Node) error {
	pidFile := os.Remove(filepath.Join(node.RunDir, "pid"))
	if os.IsNotExist(pidFile) {
		pidFile = nil
	}

	return errors.Join(pidFile, disconnect(node), removeCgroups(node.Cgroup))
}

// boot runs one life of the node; true when pid 1 ended in order to reboot.
func boot(ctx context.Context, node spec.Node, file string) (bool, error) {
	profile, err := spec.Load[spec.Profile](node.Profile)
	if err != nil {
		return false, err
	}

	select {
	case <-ctx.Done():
		return false, nil
	case <-time.After(time.Duration(profile.BootDelay * float64(time.Second))):
	}

	bootID := profile.BootID
	if bootID == "" {
		bootID = uuid()
	}

	one, err := start(file, bootID)
	if err != nil {
		return false, err
	}
	defer one.end()

	if err := connect(node, one.pid()); err != nil {
		return false, err
	}

	one.release()

	for name, text := range map[string]string{"boot_id": bootID + "\n", "pid": strconv.Itoa(one.pid())} {
		if err := os.WriteFile(filepath.Join(node.RunDir, name), []byte(text), 0o644); err != nil {
			return false, err
		}
	}

	fmt.Println("node", node.Name, "pid", one.pid(), "boot", bootID)

	select {
	case <-ctx.Done():
		return false, nil
	case err = <-one.ended:
		one.ended <- err // for end
	}

	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == spec.RebootExit {
		return true, nil
	}

	return false, fmt.Errorf("pid 1 of %s ended: %w", node.Name, err)
}

// life is one run of pid 1.
type life struct {
	child                   *exec.Cmd
	ended                   chan error
	starter, lifeline, born *os.File
}

// start makes the namespaces with stage two in them, which waits for its network.
func start(file, bootID string) (*life, error) {
	var theirs, ours [3]*os.File

	for i := range theirs {
		read, write, err := os.Pipe()
		if err != nil {
			return nil, err
		}

		theirs[i], ours[i] = read, write
	}

	theirs[2], ours[2] = ours[2], theirs[2] // this one is theirs to close

	child := exec.Command("/proc/self/exe", "stage2", "--spec", file, "--boot-id", bootID)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.ExtraFiles = theirs[:] // startFD, LifelineFD, bootedFD
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
	}

	err := child.Start()

	for _, file := range theirs {
		file.Close() //nolint:errcheck
	}

	if err != nil {
		return nil, fmt.Errorf("making the node's namespaces: %w", err)
	}

	one := &life{child: child, ended: make(chan error, 1), starter: ours[0], lifeline: ours[1], born: ours[2]}

	go func() { one.ended <- child.Wait() }()

	return one, nil
}

func (l *life) pid() int { return l.child.Process.Pid }

// release lets stage two go on, and returns when pid 1's program runs in the node's root (or has failed to).
func (l *life) release() {
	l.starter.Close()            //nolint:errcheck
	l.born.Read(make([]byte, 1)) //nolint:errcheck // ends by the pipe's closing
}

// end kills pid 1 and with it, by the kernel's rule, every process of its namespace; it returns when they are gone.
func (l *life) end() {
	l.child.Process.Kill() //nolint:errcheck // it may have ended
	<-l.ended

	for _, file := range []*os.File{l.starter, l.lifeline, l.born} {
		file.Close() //nolint:errcheck
	}
}

// uuid is a random one (version 4), as the kernel's boot id is.
func uuid() string {
	b := make([]byte, 16)
	rand.Read(b) //nolint:errcheck // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80

	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
