package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// exitTold is run_program.py's status for "the engine already knows what went wrong".
const exitTold = 32

type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	engine   string // the engine's address
	runner   string // run_program.py
	children *children
}

func (h *host) Handshake(_ context.Context, r *pulumirpc.LanguageHandshakeRequest) (*pulumirpc.LanguageHandshakeResponse, error) {
	if r.EngineAddress != "" {
		h.engine = r.EngineAddress
	}
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

func (h *host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version}, nil
}

func (h *host) About(_ context.Context, r *pulumirpc.AboutRequest) (*pulumirpc.AboutResponse, error) {
	env, err := environmentOf(r.GetInfo())
	if err != nil {
		return nil, err
	}
	return &pulumirpc.AboutResponse{
		Executable: env.python, Version: env.version(), Metadata: map[string]string{"host": "lab of talos-nvidia-cdi"},
	}, nil
}

func (h *host) GetRequiredPackages(_ context.Context, r *pulumirpc.GetRequiredPackagesRequest) (*pulumirpc.GetRequiredPackagesResponse, error) {
	env, err := environmentOf(r.GetInfo())
	if err != nil {
		return nil, err
	}
	packages, err := requiredPackages(env.sitePackages())
	return &pulumirpc.GetRequiredPackagesResponse{Packages: packages}, err
}

func (h *host) GetProgramDependencies(_ context.Context, r *pulumirpc.GetProgramDependenciesRequest) (*pulumirpc.GetProgramDependenciesResponse, error) {
	env, err := environmentOf(r.GetInfo())
	if err != nil {
		return nil, err
	}
	found, err := programDependencies(env.sitePackages(), r.TransitiveDependencies)
	return &pulumirpc.GetProgramDependenciesResponse{Dependencies: found}, err
}

func (h *host) RuntimeOptionsPrompts(context.Context, *pulumirpc.RuntimeOptionsRequest) (*pulumirpc.RuntimeOptionsResponse, error) {
	return &pulumirpc.RuntimeOptionsResponse{}, nil
}

func (h *host) InstallDependencies(_ *pulumirpc.InstallDependenciesRequest, stream grpc.ServerStreamingServer[pulumirpc.InstallDependenciesResponse]) error {
	return stream.Send(&pulumirpc.InstallDependenciesResponse{
		Stderr: []byte("uv installs this project's dependencies (uv sync); nothing was done here\n"),
	})
}

func (h *host) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	h.children.interrupt()
	return &emptypb.Empty{}, nil
}

// order is what run_program.py gets as its argument.
type order struct {
	Project      string `json:"project"`
	Stack        string `json:"stack"`
	Organization string `json:"organization"`
	Monitor      string `json:"monitor"`
	Engine       string `json:"engine"`
	Parallel     int32  `json:"parallel"`
	DryRun       bool   `json:"dry_run"`
	Root         string `json:"root"`
	Directory    string `json:"directory"`
	Program      string `json:"program"`
}

func (h *host) Run(ctx context.Context, r *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	env, err := environmentOf(r.GetInfo())
	if err != nil {
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	}
	what, err := json.Marshal(order{
		Project: r.Project, Stack: r.Stack, Organization: r.Organization, Monitor: r.MonitorAddress, Engine: h.engine,
		Parallel: r.Parallel, DryRun: r.DryRun, Root: r.Info.RootDirectory, Directory: r.Info.ProgramDirectory,
		Program: r.Info.EntryPoint,
	})
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(known(r.Config))
	if err != nil {
		return nil, err
	}
	secrets, err := json.Marshal(append([]string{}, r.ConfigSecretKeys...))
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, env.python, append([]string{"-u", h.runner, string(what)}, r.Args...)...)
	command.Dir, command.Stdout, command.Stderr = r.Pwd, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), "PULUMI_CONFIG="+string(config), "PULUMI_CONFIG_SECRET_KEYS="+string(secrets))
	return outcome(h.children.run(command))
}

// known is the map itself, empty instead of nil: the SDK reads an object, not null.
func known(config map[string]string) map[string]string {
	if config == nil {
		return map[string]string{}
	}
	return config
}

func outcome(err error) (*pulumirpc.RunResponse, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return &pulumirpc.RunResponse{}, nil
	case errors.As(err, &exit) && exit.ExitCode() == exitTold:
		return &pulumirpc.RunResponse{Bail: true}, nil
	case errors.As(err, &exit):
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("Program exited with non-zero exit code: %d", exit.ExitCode())}, nil
	default:
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	}
}
