package api_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talos-nvidia-cdi/lab/node/internal/api"
	"talos-nvidia-cdi/lab/node/internal/boot"
	"talos-nvidia-cdi/lab/node/internal/gen"
	"talos-nvidia-cdi/lab/node/internal/spec"
)

// served starts the API for a machine of the seed's facts and returns the folder with its secrets and its address.
func served(t *testing.T) (dir, address string) {
	t.Helper()

	dir = t.TempDir()
	if err := gen.Run(gen.Options{
		Out: dir, Cluster: "lab", Endpoint: "https://127.0.0.1:6443",
		Nodes: map[string]string{"lab-1": "127.0.0.1"}, Order: []string{"lab-1"},
	}); err != nil {
		t.Fatal(err)
	}

	bundle, err := secrets.LoadBundle(filepath.Join(dir, "secrets.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	creds, err := api.Credentials(bundle, "lab-1", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}

	m := boot.Unbooted(spec.Profile{
		Talos: "v1.11.1", Driver: "535.247.01", GPU: spec.GPU{PCI: "0000:01:00.0", Model: "Quadro P2000"},
		Extensions: []spec.Extension{{Name: "nvidia-container-toolkit-lts", Version: "535.247.01-v1.17.8"}},
	})

	raw, err := os.ReadFile(filepath.Join(dir, "lab-1.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	provider, err := configloader.NewFromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}

	m.Assume(provider)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	server := api.NewServer(api.NewNode(m), api.NewResources(m).Core, []string{"lab-1", "127.0.0.1"}, grpc.Creds(creds))
	t.Cleanup(server.Stop)

	go server.Serve(listener) //nolint:errcheck // ends with Stop

	return dir, listener.Addr().String()
}

func dial(t *testing.T, dir, address, config string) (context.Context, *client.Client) {
	t.Helper()

	cfg, err := clientconfig.Open(filepath.Join(dir, config))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)

	c, err := client.New(ctx, client.WithConfig(cfg), client.WithEndpoints(address))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { c.Close() }) //nolint:errcheck

	return ctx, c
}

func TestTalosOwnClientIsContent(t *testing.T) {
	dir, address := served(t)
	ctx, c := dial(t, dir, address, "talosconfig")

	version, err := c.Version(ctx)
	if err != nil || version.Messages[0].Version.Tag != "v1.11.1" {
		t.Fatalf("version %v, %v", version, err)
	}

	big := filepath.Join(t.TempDir(), "big")
	want := bytes.Repeat([]byte("0123456789abcdef"), 20_000)

	if err := os.WriteFile(big, want, 0o600); err != nil {
		t.Fatal(err)
	}

	reader, err := c.Read(ctx, big)
	if err != nil {
		t.Fatal(err)
	}

	got, err := io.ReadAll(reader)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes of %d, %v", len(got), len(want), err)
	}

	stream, err := c.LS(ctx, &machine.ListRequest{Root: filepath.Dir(big)})
	if err != nil {
		t.Fatal(err)
	}

	var names []string

	for {
		info, err := stream.Recv()
		if err == io.EOF {
			break
		}

		if err != nil {
			t.Fatal(err)
		}

		names = append(names, info.RelativeName)
	}

	if strings.Join(names, " ") != ". big" {
		t.Fatalf("list: %q", names)
	}

	extensions, err := safe.StateListAll[*runtime.ExtensionStatus](ctx, c.COSI)
	if err != nil || extensions.Len() != 1 || extensions.Get(0).TypedSpec().Metadata.Name != "nvidia-container-toolkit-lts" {
		t.Fatalf("extensions %v, %v", extensions, err)
	}
}

func TestRolesDecideWhoMayCallWhat(t *testing.T) {
	dir, address := served(t)
	ctx, reader := dial(t, dir, address, "talosconfig-reader")

	if _, err := reader.Version(ctx); err != nil {
		t.Fatal(err)
	}

	_, err := reader.ApplyConfiguration(ctx, &machine.ApplyConfigurationRequest{})
	if status.Code(err) != codes.PermissionDenied {
		t.Fatalf("apply as a reader: %v", err)
	}

	if err := reader.Reboot(ctx); status.Code(err) != codes.PermissionDenied {
		t.Fatalf("reboot as a reader: %v", err)
	}

	ctx, stranger := dial(t, dir, address, "talosconfig-stranger")
	if _, err := stranger.Version(ctx); err == nil {
		t.Fatal("a certificate of another CA was taken")
	}
}

func TestAWorkerForwardsToNobody(t *testing.T) {
	dir, address := served(t)
	ctx, c := dial(t, dir, address, "talosconfig")

	if _, err := c.Version(client.WithNode(ctx, "127.0.0.1")); err != nil {
		t.Fatal(err)
	}

	_, err := c.Version(client.WithNode(ctx, "10.9.9.9"))
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "no request forwarding") {
		t.Fatalf("another node: %v", err)
	}
}

func TestTheModeFollowsWhatChanged(t *testing.T) {
	dir, address := served(t)
	ctx, c := dial(t, dir, address, "talosconfig")

	base, err := os.ReadFile(filepath.Join(dir, "lab-1.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	dryRun := func(mode machine.ApplyConfigurationRequest_Mode, add string) (*machine.ApplyConfiguration, error) {
		text := strings.Replace(string(base), "machine:\n", "machine:\n"+add, 1)

		answer, err := c.ApplyConfiguration(ctx, &machine.ApplyConfigurationRequest{Data: []byte(text), Mode: mode, DryRun: true})
		if err != nil {
			return nil, err
		}

		return answer.Messages[0], nil
	}

	const udev = "    udev:\n        rules:\n            - SUBSYSTEM==\"drm\", GROUP=\"44\"\n"

	for _, one := range []struct {
		name, add string
		want      machine.ApplyConfigurationRequest_Mode
	}{
		{"nothing", "", machine.ApplyConfigurationRequest_NO_REBOOT},
		{"a label", "    nodeLabels:\n        a: b\n", machine.ApplyConfigurationRequest_NO_REBOOT},
		{"a module", "    kernel:\n        modules:\n            - name: nvidia\n", machine.ApplyConfigurationRequest_NO_REBOOT},
		{"udev rules", udev, machine.ApplyConfigurationRequest_REBOOT},
		{"a file", "    files:\n        - path: /var/x\n          op: create\n          permissions: 0o600\n          content: x\n", machine.ApplyConfigurationRequest_REBOOT},
	} {
		answer, err := dryRun(machine.ApplyConfigurationRequest_AUTO, one.add)
		if err != nil || answer.Mode != one.want {
			t.Errorf("%s: %v, %v", one.name, answer, err)
		}
	}

	_, err = dryRun(machine.ApplyConfigurationRequest_NO_REBOOT, udev)
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "machine.udev") {
		t.Errorf("udev rules without a reboot: %v", err)
	}

	_, err = dryRun(machine.ApplyConfigurationRequest_AUTO, "    nodeLables:\n        a: b\n")
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "unknown keys found during decoding") {
		t.Errorf("a misspelt key: %v", err)
	}
}
