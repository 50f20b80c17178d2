// Command lab-node is a pretended Talos node.
//
//	lab-node gen --out DIR --cluster NAME --endpoint URL --node NAME=IP...   secrets, talosconfigs, base configs
//	lab-node run --spec NODE.json                                           the node, until SIGTERM
//	lab-node clean --spec NODE.json                                         what a killed `run` left on the host
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

	"talos-nvidia-cdi/lab/node/internal/gen"
	"talos-nvidia-cdi/lab/node/internal/host"
)

func main() {
	var err error

	switch {
	case os.Getpid() == 1 && len(os.Args) == 1:
		err = pid1()
	case len(os.Args) < 2:
		err = errors.New("usage: lab-node gen|run|clean")
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
	case "run", "clean":
		file := flags.String("spec", "", "the node's description (JSON)")
		if err := flags.Parse(args); err != nil {
			return err
		}

		if name == "clean" {
			return host.Clean(*file)
		}

		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()

		return host.Run(ctx, *file)
	case "stage2": // what `run` starts inside the new namespaces
		file, bootID := flags.String("spec", "", ""), flags.String("boot-id", "", "")
		if err := flags.Parse(args); err != nil {
			return err
		}

		return host.Stage2(*file, *bootID)
	default:
		return fmt.Errorf("unknown command %q", name)
	}
}
