// Command pulumi-resource-talos stands in for the Talos provider plugin of Pulumi (pulumiverse/pulumi-talos 0.8.1)
// where that one can't be had. It answers to the unchanged pulumiverse_talos SDK for machine.Secrets,
// machine.ConfigurationApply, machine.getConfiguration and client.getConfiguration, on Talos's own machinery, and
// refuses every other resource by name. What it does and leaves out follows terraform-provider-talos v0.11.0, which
// the real plugin wraps.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

const (
	// version is that of the SDK: the engine picks a plugin by it.
	version = "0.8.1"
	banner  = "stand-in for pulumi-resource-talos " + version + " from the lab of talos-nvidia-cdi, not the official plugin"
	// maxMessage is the engine's own limit (rpcutil.GrpcChannelOptions): 400 MiB.
	maxMessage = 400 << 20
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-talos (stand-in):", err)
		os.Exit(1)
	}
}

func serve() error {
	flags := flag.NewFlagSet("pulumi-resource-talos", flag.ExitOnError)
	flags.String("tracing", "", "ignored")
	showVersion := flags.Bool("version", false, "print the version and end")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	if *showVersion {
		fmt.Println(banner)
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go endWithParent(time.Second)
	log, err := newEngineLog(flags.Arg(0))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	pulumirpc.RegisterResourceProviderServer(server, newProvider(log))
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return server.Serve(listener)
}

// endWithParent ends this process soon after the engine is gone: an engine that is killed outright closes nothing.
func endWithParent(every time.Duration) {
	parent := os.Getppid()
	for range time.Tick(every) {
		if os.Getppid() != parent {
			os.Exit(1)
		}
	}
}
