package boot

import (
	"context"
	"fmt"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

const containerdSocket = "/run/containerd/containerd.sock"

// containerdServes asks containerd's own health service, as Talos does for `cri`.
func containerdServes(ctx context.Context) error {
	connection, err := grpc.NewClient("unix://"+containerdSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck

	answer, err := grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return err
	}

	if answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("containerd says %s", answer.Status)
	}

	return nil
}

// kubeletServes asks the kubelet's healthz port.
func kubeletServes(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:10248/healthz", nil)
	if err != nil {
		return err
	}

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck

	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("expected HTTP status OK, got %s", response.Status)
	}

	return nil
}
