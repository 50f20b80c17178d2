package api

import (
	"context"
	"sync"

	"google.golang.org/grpc/stats"
)

// Callers counts open connections.
type Callers struct {
	mu   sync.Mutex
	open int
	gone chan struct{} // somebody waits for the last one
}

// Gone closes when no connection is open. A reboot waits for it: a caller that has hung up has its answer, and a
// GOAWAY just behind an answer makes some clients (Python's h2) take the call for lost.
func (c *Callers) Gone() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.gone = make(chan struct{})
	c.count(0)

	return c.gone
}

func (c *Callers) count(change int) {
	c.open += change
	if c.open == 0 && c.gone != nil {
		close(c.gone)
		c.gone = nil
	}
}

// HandleConn implements stats.Handler.
func (c *Callers) HandleConn(_ context.Context, event stats.ConnStats) {
	c.mu.Lock()
	defer c.mu.Unlock()

	switch event.(type) {
	case *stats.ConnBegin:
		c.count(1)
	case *stats.ConnEnd:
		c.count(-1)
	}
}

// TagConn implements stats.Handler.
func (c *Callers) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// TagRPC implements stats.Handler.
func (c *Callers) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (c *Callers) HandleRPC(context.Context, stats.RPCStats) {}
