package main

import (
	"errors"
	"os/exec"
	"sync"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

type pluginStream = grpc.ServerStreamingServer[pulumirpc.RunPluginResponse]

// RunPlugin runs a plugin that is written in Python: a policy pack (kind analyzer) through the SDK's pulumi.policy, any
// other through its pulumi.run.plugin, and sends what it writes as it comes, then its exit code.
func (h *host) RunPlugin(r *pulumirpc.RunPluginRequest, stream pluginStream) error {
	env, err := environmentOf(r.GetInfo())
	if err != nil {
		return err
	}
	arguments := []string{"-u", "-m", "pulumi.run.plugin", r.Name}
	if r.Kind == "analyzer" {
		arguments = []string{"-u", "-m", "pulumi.policy"}
	}
	arguments = append(arguments, r.Args...)
	if r.Kind == "analyzer" {
		arguments = append(arguments, r.GetInfo().GetProgramDirectory())
	} else if r.Name == "" {
		arguments = append([]string{"-u", r.GetInfo().GetProgramDirectory()}, r.Args...)
	}
	command := exec.CommandContext(stream.Context(), env.python, arguments...)
	command.Dir = r.Pwd
	if len(r.Env) > 0 {
		command.Env = r.Env
	}
	sender := &sender{stream: stream}
	command.Stdout, command.Stderr = writer(sender.stdout), writer(sender.stderr)
	code := 0
	var exit *exec.ExitError
	if err := h.children.run(command); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		return err
	}
	return sender.send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Exitcode{Exitcode: int32(code)}})
}

// sender lets the two pipes share a stream, which takes one message at a time.
type sender struct {
	mu     sync.Mutex
	stream pluginStream
}

func (s *sender) send(message *pulumirpc.RunPluginResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Send(message)
}

func (s *sender) stdout(data []byte) error {
	return s.send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Stdout{Stdout: data}})
}

func (s *sender) stderr(data []byte) error {
	return s.send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Stderr{Stderr: data}})
}

type writer func([]byte) error

// Write hands on a copy: gRPC may still hold the message when the pipe's buffer is filled again.
func (w writer) Write(data []byte) (int, error) {
	return len(data), w(append([]byte{}, data...))
}
