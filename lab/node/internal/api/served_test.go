package api_test

import (
	"context"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"google.golang.org/grpc"

	"talos-nvidia-cdi/lab/node/internal/api"
	"talos-nvidia-cdi/lab/node/internal/boot"
	"talos-nvidia-cdi/lab/node/internal/gen"
	"talos-nvidia-cdi/lab/node/internal/identity"
	"talos-nvidia-cdi/lab/node/internal/spec"
)

// secretsDir is what `lab-node gen` made for every test here: its RSA keys take seconds.
var secretsDir string

func TestMain(m *testing.M) {
	var err error
	if secretsDir, err = os.MkdirTemp("", "lab-node-secrets"); err != nil {
		panic(err)
	}

	err = gen.Run(gen.Options{
		Out: secretsDir, Cluster: "lab", Endpoint: "https://127.0.0.1:6443",
		Nodes: map[string]string{"lab-1": "127.0.0.1"}, Order: []string{"lab-1"},
	})
	if err != nil {
		panic(err)
	}

	code := m.Run()

	os.RemoveAll(secretsDir) //nolint:errcheck
	os.Exit(code)
}

// kernel records what it was told to show.
type kernel struct {
	mu      sync.Mutex
	sysctls map[string]string
}

func (*kernel) ShowModules([]boot.Module) error { return nil }

func (k *kernel) ShowSysctls(values map[string]string) error {
	k.mu.Lock()
	defer k.mu.Unlock()

	k.sysctls = maps.Clone(values)

	return nil
}

func (k *kernel) sysctl(name string) string {
	k.mu.Lock()
	defer k.mu.Unlock()

	return k.sysctls[name]
}

// lab is a served machine of the seed's facts; dir has its secrets, and in `state` its STATE partition.
type lab struct {
	dir, address string
	machine      *boot.Machine
	kernel       *kernel
	base         string
}

func serve(t *testing.T) lab {
	t.Helper()

	l := lab{dir: t.TempDir(), kernel: &kernel{}}
	must(t, os.CopyFS(l.dir, os.DirFS(secretsDir)))

	l.base = text(t, filepath.Join(l.dir, "lab-1.yaml"))
	state := filepath.Join(l.dir, "state")
	must(t, os.Mkdir(state, 0o700))

	l.machine = boot.New(spec.Node{Name: "lab-1", Address: "127.0.0.1"}, spec.Profile{
		Talos: "v1.11.1", Driver: "535.247.01", GPU: spec.GPU{PCI: "0000:01:00.0", Model: "Quadro P2000"},
		Extensions: []spec.Extension{
			{Name: "nonfree-kmod-nvidia-lts", Version: "535.247.01-v1.11.1"},
			{Name: "nvidia-container-toolkit-lts", Version: "535.247.01-v1.17.8"},
		},
		Sysctls: map[string]int{"net.core.bpf_jit_harden": 2},
	}, "11111111-2222-4333-8444-555555555555", state, l.kernel)

	provider, err := configloader.NewFromBytes([]byte(l.base))
	must(t, err)
	must(t, l.machine.Assume(provider))

	bundle, err := secrets.LoadBundle(filepath.Join(l.dir, "secrets.yaml"))
	must(t, err)

	own, err := identity.Issue(bundle, "lab-1", "127.0.0.1", time.Now())
	must(t, err)

	credentials, err := own.Credentials()
	must(t, err)

	resources, err := api.NewResources(l.machine)
	must(t, err)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)

	l.address = listener.Addr().String()
	server := api.NewServer(api.NewNode(l.machine, resources), resources, []string{"lab-1", "127.0.0.1"}, grpc.Creds(credentials))

	go server.Serve(listener) //nolint:errcheck // ends with Stop

	t.Cleanup(server.Stop)

	return l
}

// dial connects with Talos's own client.
func (l lab) dial(t *testing.T, talosconfig string) (context.Context, *client.Client) {
	t.Helper()

	settings, err := clientconfig.Open(filepath.Join(l.dir, talosconfig))
	must(t, err)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)

	c, err := client.New(ctx, client.WithConfig(settings), client.WithEndpoints(l.address))
	must(t, err)
	t.Cleanup(func() { c.Close() }) //nolint:errcheck

	return ctx, c
}

func (l lab) persisted(t *testing.T) string {
	t.Helper()

	raw, err := os.ReadFile(filepath.Join(l.dir, "state", spec.ConfigName))
	if os.IsNotExist(err) {
		return ""
	}

	must(t, err)

	return string(raw)
}

func text(t *testing.T, path string) string {
	t.Helper()

	raw, err := os.ReadFile(path)
	must(t, err)

	return string(raw)
}

func must(t *testing.T, err error) {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()

	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
