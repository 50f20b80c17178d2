// Command pulumi-language-python is a small language host: what the Pulumi engine starts to run a Python program.
//
// It serves the LanguageRuntime protocol of engine 3.259 for projects whose Pulumi.yaml names a virtual environment
// (options.virtualenv, or options.toolchain: uv). It starts no Python but the program's own, so that an empty preview
// stays near one second. The official host's module is not served by the Go proxy.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

const (
	version = "0.1.0-lab"
	// maxMessage is the engine's own limit (rpcutil.GrpcChannelOptions): 400 MiB.
	maxMessage = 400 << 20
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-language-python (lab):", err)
		os.Exit(1)
	}
}

func serve() error {
	// What newer engines may add is accepted and left alone, as the official hosts do with -tracing and -root.
	flags := flag.NewFlagSet("pulumi-language-python", flag.ExitOnError)
	flags.String("tracing", "", "ignored")
	flags.String("root", "", "ignored")
	showVersion := flags.Bool("version", false, "print the version and end")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	if *showVersion {
		fmt.Println(version, "(language host of the talos-nvidia-cdi lab, not Pulumi's own)")
		return nil
	}

	runner, err := runnerBeside()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	children := newChildren()
	go endWithParent(time.Second, children.killAll)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	pulumirpc.RegisterLanguageRuntimeServer(server, &host{engine: flags.Arg(0), runner: runner, children: children})
	go func() {
		<-ctx.Done()
		children.killAll()
		server.Stop()
	}()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return server.Serve(listener)
}

// runnerBeside finds run_program.py, which the lab installs into the folder of this executable.
func runnerBeside() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	runner := filepath.Join(filepath.Dir(self), "run_program.py")
	if _, err := os.Stat(runner); err != nil {
		return "", fmt.Errorf("%s has to lie beside this executable: %w", filepath.Base(runner), err)
	}
	return runner, nil
}

// endWithParent ends this process soon after the engine is gone: an engine that is killed outright closes nothing, and
// PR_SET_PDEATHSIG follows the engine's thread, not its process.
func endWithParent(every time.Duration, clean func()) {
	parent := os.Getppid()
	for range time.Tick(every) {
		if os.Getppid() != parent {
			clean()
			os.Exit(1)
		}
	}
}
