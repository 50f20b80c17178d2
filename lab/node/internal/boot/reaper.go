package boot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
)

// reaper starts programs and collects every process that ends, the orphans of others too: pid 1 inherits them.
type reaper struct {
	mu      sync.Mutex
	ended   map[int]chan syscall.WaitStatus
	started chan struct{}
}

func newReaper() *reaper {
	return &reaper{ended: map[int]chan syscall.WaitStatus{}, started: make(chan struct{}, 1)}
}

// start runs args with out as its output; the channel tells how it ended. The lock is held until the process is known,
// so that one which ends at once is not taken for an orphan.
func (r *reaper) start(args []string, out *os.File) (int, <-chan syscall.WaitStatus, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, nil, err
	}
	defer null.Close() //nolint:errcheck

	r.mu.Lock()
	defer r.mu.Unlock()

	pid, err := syscall.ForkExec(args[0], args, &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", args[0], err)
	}

	ended := make(chan syscall.WaitStatus, 1)
	r.ended[pid] = ended

	select {
	case r.started <- struct{}{}:
	default:
	}

	return pid, ended, nil
}

// run runs args to its end; an error carries what it said.
func (r *reaper) run(args ...string) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close() //nolint:errcheck

	_, ended, err := r.start(args, write)
	write.Close() //nolint:errcheck

	if err != nil {
		return err
	}

	said, err := io.ReadAll(read)
	if err != nil {
		return err
	}

	if status := <-ended; status != 0 {
		return fmt.Errorf("`%s` ended with %d: %s", strings.Join(args, " "), status.ExitStatus(), strings.TrimSpace(string(said)))
	}

	return nil
}

// loop collects, for ever.
func (r *reaper) loop() {
	for {
		var status syscall.WaitStatus

		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.ECHILD) {
			<-r.started // without a child there can be no orphan either

			continue
		}

		if err != nil {
			continue
		}

		r.mu.Lock()
		ended, ours := r.ended[pid]
		delete(r.ended, pid)
		r.mu.Unlock()

		if ours {
			ended <- status
		}
	}
}
