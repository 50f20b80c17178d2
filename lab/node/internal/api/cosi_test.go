package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	configres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTheFactsAreResources(t *testing.T) {
	ctx, c := serve(t).dial(t, "talosconfig-reader")

	extensions, err := safe.StateListAll[*runtime.ExtensionStatus](ctx, c.COSI)
	must(t, err)

	if extensions.Len() != 2 || extensions.Get(1).TypedSpec().Metadata.Name != "nvidia-container-toolkit-lts" {
		t.Errorf("extensions: %v", extensions)
	}

	harden, err := safe.StateGetByID[*runtime.KernelParamStatus](ctx, c.COSI, "proc.sys.net.core.bpf_jit_harden")
	must(t, err)

	if harden.TypedSpec().Current != "2" {
		t.Errorf("bpf_jit_harden: %v", harden.TypedSpec())
	}

	gpu, err := safe.StateGetByID[*hardware.PCIDevice](ctx, c.COSI, "0000:01:00.0")
	must(t, err)

	if gpu.TypedSpec().VendorID != "0x10de" || gpu.TypedSpec().Product != "Quadro P2000" || gpu.TypedSpec().Driver != "" {
		t.Errorf("GPU: %v", gpu.TypedSpec())
	}

	status, err := safe.StateGetByID[*runtime.MachineStatus](ctx, c.COSI, runtime.MachineStatusID)
	must(t, err)

	if status.TypedSpec().Stage != runtime.MachineStageBooting || status.TypedSpec().Status.Ready {
		t.Errorf("status: %v", status.TypedSpec())
	}
}

func TestAWatchSeesAModuleLoaded(t *testing.T) {
	l := serve(t)
	ctx, c := l.dial(t, "talosconfig")

	events := make(chan state.Event)
	kind := resource.NewMetadata(runtime.NamespaceName, runtime.LoadedKernelModuleType, "", resource.VersionUndefined)
	must(t, c.COSI.WatchKind(ctx, kind, events, state.WithBootstrapContents(true)))

	next := func() state.Event {
		select {
		case event := <-events:
			if event.Error != nil {
				t.Fatal(event.Error)
			}

			return event
		case <-time.After(5 * time.Second):
			t.Fatal("no event")
		}

		return state.Event{}
	}

	if event := next(); event.Type != state.Bootstrapped {
		t.Fatalf("first: %v", event.Type)
	}

	_, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(l.with(module)), Mode: noReboot})
	must(t, err)

	for _, want := range []string{"nvidia", "nvidia_uvm"} {
		event := next()
		if event.Type != state.Created || event.Resource.Metadata().ID() != want {
			t.Fatalf("%v %v, not %s created", event.Type, event.Resource.Metadata(), want)
		}

		if spec := event.Resource.(*runtime.LoadedKernelModule).TypedSpec(); spec.State != "Live" {
			t.Errorf("%v", spec)
		}
	}
}

func TestAnAliasIsResolvedAsTalosctlDoes(t *testing.T) {
	ctx, c := serve(t).dial(t, "talosconfig-reader")

	namespace := ""

	definition, err := c.ResolveResourceKind(ctx, &namespace, "extensions")
	must(t, err)

	if definition.TypedSpec().Type != runtime.ExtensionStatusType || namespace != runtime.NamespaceName {
		t.Errorf("%v in %s", definition.TypedSpec().Type, namespace)
	}
}

func TestOnlyAnAdminSeesTheMachineConfig(t *testing.T) {
	l := serve(t)
	ctx, reader := l.dial(t, "talosconfig-reader")
	active := resource.NewMetadata(configres.NamespaceName, configres.MachineConfigType, configres.ActiveID, resource.VersionUndefined)

	if _, err := reader.COSI.Get(ctx, active); status.Code(err) != codes.PermissionDenied {
		t.Errorf("get: %v", err)
	}

	if _, err := reader.COSI.List(ctx, active); status.Code(err) != codes.PermissionDenied {
		t.Errorf("list: %v", err)
	}

	ctx, admin := l.dial(t, "talosconfig")

	_, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(l.with(label)), Mode: staged})
	must(t, err)

	for id, want := range map[string]string{configres.ActiveID: l.base, configres.PersistentID: l.with(label)} {
		config, err := safe.StateGetByID[*configres.MachineConfig](ctx, admin.COSI, id)
		must(t, err)

		if got, err := config.Provider().Bytes(); err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s", id, err, got)
		}
	}
}

func TestNobodyWritesResources(t *testing.T) {
	ctx, c := serve(t).dial(t, "talosconfig")

	err := c.COSI.Create(ctx, runtime.NewLoadedKernelModule(runtime.NamespaceName, "x"))
	if err == nil || !strings.Contains(err.Error(), "not authorized") { // the client wraps the status
		t.Fatalf("%v", err)
	}
}
