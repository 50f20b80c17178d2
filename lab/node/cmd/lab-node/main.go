// Command lab-node is a pretended Talos node.
//
//	lab-node gen --out DIR --cluster NAME --endpoint URL --node NAME=IP...   secrets, talosconfigs, base configs
//	lab-node run --spec NODE.json                                           the node, until SIGTERM
//	/sbin/init                                                              the same binary as the node's pid 1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"google.golang.org/grpc"

	"talos-nvidia-cdi/lab/node/internal/api"
	"talos-nvidia-cdi/lab/node/internal/boot"
	"talos-nvidia-cdi/lab/node/internal/gen"
	"talos-nvidia-cdi/lab/node/internal/host"
	"talos-nvidia-cdi/lab/node/internal/spec"
)

func main() {
	var err error

	switch {
	case os.Getpid() == 1 && len(os.Args) == 1:
		err = pid1()
	case len(os.Args) < 2:
		err = errors.New("usage: lab-node gen|run")
	default:
		err = command(os.Args[1], os.Args[2:])
	}

	if err != nil {
		fmt.Fprintln(os.Stderr, "lab-node:", err)
		os.Exit(1)
	}
}

func command(name string, args []string) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)

	switch name {
	case "gen":
		o := gen.Options{Nodes: map[string]string{}}
		flags.StringVar(&o.Out, "out", "", "folder to write into")
		flags.StringVar(&o.Cluster, "cluster", "", "name of the cluster")
		flags.StringVar(&o.Endpoint, "endpoint", "", "URL of the Kubernetes API server")
		flags.Func("node", "NAME=ADDRESS, once per node", func(word string) error {
			node, address, err := gen.ParseNode(word)
			o.Nodes[node] = address
			o.Order = append(o.Order, node)

			return err
		})

		if err := flags.Parse(args); err != nil {
			return err
		}

		return gen.Run(o)
	case "run", "stage2":
		file := flags.String("spec", "", "the node's description (JSON)")
		if err := flags.Parse(args); err != nil {
			return err
		}

		if name == "stage2" {
			return host.Stage2(*file)
		}

		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()

		return host.Run(ctx, *file)
	default:
		return fmt.Errorf("unknown command %q", name)
	}
}

func pid1() error {
	go boot.WatchLifeline(host.LifelineFD)

	m, err := boot.New()
	if err != nil {
		return err
	}

	if err := m.Prepare(); err != nil {
		return err
	}

	bundle, err := secrets.LoadBundle(spec.SecretsFile)
	if err != nil {
		return err
	}

	creds, err := api.Credentials(bundle, m.Node.Name, m.Node.Address)
	if err != nil {
		return err
	}

	listener, err := api.Listen()
	if err != nil {
		return err
	}

	resources := api.NewResources(m)
	server := api.NewServer(api.NewNode(m), resources.Core, []string{m.Node.Name, m.Node.Address, "127.0.0.1"}, grpc.Creds(creds))

	go m.Boot()

	return server.Serve(listener)
}
