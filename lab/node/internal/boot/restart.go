package boot

import (
	"syscall"
)

func (s *services) started(id string, pid int) {
	s.mu.Lock()
	s.pids[id] = pid
	s.mu.Unlock()
}

// restart ends the service's process; whoever keeps the service starts it again.
func (s *services) restart(id string) {
	s.mu.Lock()
	pid := s.pids[id]
	s.mu.Unlock()

	if pid == 0 {
		return
	}

	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		s.say("service[%s]: %v", id, err)
	}
}
