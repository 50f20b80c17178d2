package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A Service is a program that pid 1 keeps running.
type Service struct {
	ID   string
	Args []string
	// After is a path that must be there before the service starts.
	After string
}

// Status of a service, as the machine API shows it.
type Status struct {
	ID, State, Message string
	Healthy            bool
}

// LogPath is where a service's output goes.
func LogPath(id string) string { return filepath.Join("/var/log", id+".log") }

type services struct {
	mu       sync.Mutex
	byPID    map[int]Service
	status   map[string]Status
	restarts chan Service
	say      func(format string, args ...any)
}

func newServices(say func(string, ...any)) *services {
	return &services{byPID: map[int]Service{}, status: map[string]Status{}, restarts: make(chan Service, 16), say: say}
}

func (s *services) set(status Status) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.status[status.ID] = status
}

// list returns the services in the order given.
func (s *services) list(ids ...string) []Status {
	s.mu.Lock()
	defer s.mu.Unlock()

	var found []Status

	for _, id := range ids {
		if status, ok := s.status[id]; ok {
			found = append(found, status)
		}
	}

	return found
}

// launch starts the service as soon as what it waits for is there.
func (s *services) launch(service Service) {
	s.set(Status{ID: service.ID, State: "Waiting", Message: "waiting for " + service.After})

	go func() {
		for service.After != "" {
			if _, err := os.Stat(service.After); err == nil {
				break
			}

			time.Sleep(20 * time.Millisecond)
		}

		s.start(service)
	}()
}

func (s *services) start(service Service) {
	pid, err := spawn(service)
	if err != nil {
		s.say("service %s: %v", service.ID, err)
		s.set(Status{ID: service.ID, State: "Failed", Message: err.Error()})

		return
	}

	s.mu.Lock()
	s.byPID[pid] = service
	s.status[service.ID] = Status{ID: service.ID, State: "Running", Message: fmt.Sprintf("Started with PID %d", pid), Healthy: true}
	s.mu.Unlock()
	s.say("service %s: running, PID %d", service.ID, pid)
}

func spawn(service Service) (int, error) {
	if err := os.MkdirAll(filepath.Dir(LogPath(service.ID)), 0o755); err != nil {
		return 0, err
	}

	log, err := os.OpenFile(LogPath(service.ID), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close() //nolint:errcheck

	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close() //nolint:errcheck

	return syscall.ForkExec(service.Args[0], service.Args, &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
}

// signal sends a signal to a running service.
func (s *services) signal(id string, number syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	for pid, service := range s.byPID {
		if service.ID == id {
			return syscall.Kill(pid, number)
		}
	}

	return fmt.Errorf("service %q is not running", id)
}

// reap collects every process that has ended, for ever; services start again a second later.
func (s *services) reap() {
	for {
		var status syscall.WaitStatus

		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.ECHILD) {
			time.Sleep(20 * time.Millisecond)

			continue
		}

		if err != nil {
			continue
		}

		s.mu.Lock()
		service, ours := s.byPID[pid]
		delete(s.byPID, pid)
		s.mu.Unlock()

		if ours {
			s.say("service %s: ended (%d), starts again", service.ID, status.ExitStatus())
			s.set(Status{ID: service.ID, State: "Waiting", Message: "restarting"})
			time.AfterFunc(time.Second, func() { s.start(service) })
		}
	}
}
