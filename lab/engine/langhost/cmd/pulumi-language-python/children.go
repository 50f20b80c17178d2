package main

import (
	"os"
	"os/exec"
	"sync"
)

// children are the processes that this host started and that must not outlive it.
type children struct {
	mu      sync.Mutex
	running map[*exec.Cmd]struct{}
	closed  bool
}

func newChildren() *children { return &children{running: map[*exec.Cmd]struct{}{}} }

// run starts the command, keeps it in the set while it lives and returns what Wait says.
func (c *children) run(command *exec.Cmd) error {
	if err := c.start(command); err != nil {
		return err
	}
	return c.wait(command)
}

func (c *children) start(command *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return os.ErrProcessDone
	}
	if err := command.Start(); err != nil {
		return err
	}
	c.running[command] = struct{}{}
	return nil
}

func (c *children) wait(command *exec.Cmd) error {
	err := command.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, command)
	return err
}

// interrupt asks every child to end.
func (c *children) interrupt() { c.signal(os.Interrupt) }

// killAll ends every child at once and lets none start after it.
func (c *children) killAll() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.signal(os.Kill)
}

func (c *children) signal(number os.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for command := range c.running {
		_ = command.Process.Signal(number) // a child that is gone by now is what was wanted
	}
}
