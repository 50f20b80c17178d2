package boot

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	restartDelay  = time.Second
	healthPause   = 50 * time.Millisecond // until it is healthy
	healthyPause  = 2 * time.Second
	healthTimeout = 2 * time.Second
	eventsKept    = 10
)

// A Service is a program that pid 1 keeps running.
type Service struct {
	ID   string
	Args []string
	// After is the service that must be healthy first; empty for none.
	After string
	// Health returns why the service is not healthy; nil where nothing checks it.
	Health func(context.Context) error
}

// LogPath is where a service's output goes.
func LogPath(id string) string { return filepath.Join("/var/log", id+".log") }

type services struct {
	reaper *reaper
	say    func(format string, args ...any)
	moved  func()

	mu      sync.Mutex
	infos   map[string]*machine.ServiceInfo
	pids    map[string]int
	changed chan struct{}
}

func newServices(say func(string, ...any), moved func()) *services {
	return &services{
		reaper: newReaper(), say: say, moved: moved,
		infos: map[string]*machine.ServiceInfo{}, pids: map[string]int{}, changed: make(chan struct{}),
	}
}

// edit changes what is known of a service and wakes who waits for that.
func (s *services) edit(id string, change func(*machine.ServiceInfo)) {
	s.mu.Lock()

	info, ok := s.infos[id]
	if !ok {
		info = &machine.ServiceInfo{Id: id, Events: &machine.ServiceEvents{}, Health: &machine.ServiceHealth{Unknown: true}}
		s.infos[id] = info
	}

	change(info)
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	s.moved()
}

func (s *services) event(id, state, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	s.say("service[%s](%s): %s", id, state, message)
	s.edit(id, func(info *machine.ServiceInfo) {
		info.State = state
		events := append(info.Events.Events, &machine.ServiceEvent{Msg: message, State: state, Ts: timestamppb.Now()})
		info.Events.Events = events[max(0, len(events)-eventsKept):]
	})
}

func (s *services) health(id string, known, healthy bool, message string) {
	s.mu.Lock()
	info := s.infos[id]
	same := info != nil && info.Health.Unknown != known && info.Health.Healthy == healthy && info.Health.LastMessage == message
	s.mu.Unlock()

	if same {
		return
	}

	s.edit(id, func(info *machine.ServiceInfo) {
		info.Health = &machine.ServiceHealth{
			Unknown: !known, Healthy: healthy, LastMessage: message, LastChange: timestamppb.Now(),
		}
	})
}

// list returns the services as the machine API tells of them, by name.
func (s *services) list() []*machine.ServiceInfo {
	s.mu.Lock()
	defer s.mu.Unlock()

	found := make([]*machine.ServiceInfo, 0, len(s.infos))
	for _, id := range slices.Sorted(maps.Keys(s.infos)) {
		i := s.infos[id]
		found = append(found, &machine.ServiceInfo{
			Id: i.Id, State: i.State, Health: i.Health,
			Events: &machine.ServiceEvents{Events: append([]*machine.ServiceEvent(nil), i.Events.Events...)},
		})
	}

	return found
}

// waitHealthy returns when the service is running and healthy.
func (s *services) waitHealthy(id string) {
	for {
		s.mu.Lock()
		info, changed := s.infos[id], s.changed
		done := info != nil && info.State == "Running" && info.Health.Healthy
		s.mu.Unlock()

		if done {
			return
		}

		<-changed
	}
}

// builtin lists a service that is part of pid 1.
func (s *services) builtin(id string) {
	s.event(id, "Running", "Started as a part of pid 1")
	s.health(id, true, true, "")
}

// keep runs the service, again whenever it ended, for ever.
func (s *services) keep(service Service) {
	for {
		if service.After != "" {
			s.event(service.ID, "Waiting", "Waiting for service %q to be \"up\"", service.After)
			s.waitHealthy(service.After)
		}

		if err := s.once(service); err != nil {
			s.event(service.ID, "Failed", "%v", err)
		}

		time.Sleep(restartDelay)
	}
}

// untilSuccess runs the service until it has ended well once (`restart: untilSuccess` of an extension service).
func (s *services) untilSuccess(service Service) {
	for {
		status, err := s.run(service)
		if err == nil && status == 0 {
			s.event(service.ID, "Finished", "Service finished successfully")

			return
		}

		if err != nil {
			s.event(service.ID, "Failed", "%v", err)
		} else {
			s.event(service.ID, "Waiting", "Error running Process(%q), going to restart until it succeeds: exit code %d", service.Args, status)
		}

		time.Sleep(restartDelay)
	}
}

func (s *services) once(service Service) error {
	status, err := s.run(service)
	if err == nil {
		s.event(service.ID, "Waiting", "Process ended with %d, starting again", status)
	}

	return err
}

// run runs the service to its end and returns its exit status.
func (s *services) run(service Service) (int, error) {
	if err := os.MkdirAll(filepath.Dir(LogPath(service.ID)), 0o755); err != nil {
		return 0, err
	}

	log, err := os.OpenFile(LogPath(service.ID), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}

	pid, ended, err := s.reaper.start(service.Args, log)
	log.Close() //nolint:errcheck

	if err != nil {
		return 0, err
	}

	s.started(service.ID, pid)
	s.event(service.ID, "Running", "Process Process(%q) started with PID %d", service.Args, pid)

	ctx, stop := context.WithCancel(context.Background())
	checked := make(chan struct{})

	go func() {
		defer close(checked)

		if service.Health != nil {
			s.watch(ctx, service)
		}
	}()

	status := <-ended

	stop()
	<-checked
	s.health(service.ID, false, false, "")

	return status.ExitStatus(), nil
}

// watch asks for the service's health until ctx ends.
func (s *services) watch(ctx context.Context, service Service) {
	for ctx.Err() == nil {
		pause, message := healthyPause, ""

		one, cancel := context.WithTimeout(ctx, healthTimeout)
		err := service.Health(one)

		cancel()

		if err != nil {
			pause, message = healthPause, err.Error()
		}

		if ctx.Err() != nil {
			return
		}

		s.health(service.ID, true, err == nil, message)

		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
