// Command device-plugin advertises one nvidia.com/gpu and answers allocations with CDI device names.
//
// It is the smallest kubelet device plugin of the kind NVIDIA's is with --device-list-strategy=cdi-cri: the kubelet
// hands the names to containerd, which resolves them from its own cdi_spec_dirs (CRI field CDIDevices), so no NVIDIA
// runtime is involved. NVIDIA's own plugin cannot be had where the lab is built.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	resource = "nvidia.com/gpu"
	socket   = "talos-lab-gpu.sock"
	node     = "/dev/nvidia0"
)

type plugin struct {
	api.UnimplementedDevicePluginServer
}

func (plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

// ListAndWatch reports the GPU once, healthy if its device node is there, and keeps the stream open.
func (plugin) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	health := api.Healthy
	if _, err := os.Stat(node); err != nil {
		health = api.Unhealthy
	}

	if err := stream.Send(&api.ListAndWatchResponse{Devices: []*api.Device{{ID: "0", Health: health}}}); err != nil {
		return err
	}

	<-stream.Context().Done()

	return nil
}

// Allocate names the CDI device of every id that the kubelet picked.
func (plugin) Allocate(_ context.Context, in *api.AllocateRequest) (*api.AllocateResponse, error) {
	out := &api.AllocateResponse{}

	for _, container := range in.ContainerRequests {
		answer := &api.ContainerAllocateResponse{}
		for _, id := range container.DevicesIds {
			answer.CdiDevices = append(answer.CdiDevices, &api.CDIDevice{Name: resource + "=" + id})
		}

		out.ContainerResponses = append(out.ContainerResponses, answer)
	}

	return out, nil
}

func run() error {
	path := filepath.Join(api.DevicePluginPath, socket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}

	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}

	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, plugin{})

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	conn, err := grpc.NewClient("unix://"+api.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck

	request := &api.RegisterRequest{Version: api.Version, Endpoint: socket, ResourceName: resource}
	if _, err := api.NewRegistrationClient(conn).Register(context.Background(), request); err != nil {
		return fmt.Errorf("registering %s with the kubelet: %w", resource, err)
	}

	log.Printf("registered %s", resource)

	return <-served
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
