package api

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/cosi-project/runtime/pkg/state/registry"
	configres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"

	"talos-nvidia-cdi/lab/node/internal/boot"
)

// served are the resource types that the node has.
var served = []meta.ResourceWithRD{
	&configres.MachineConfig{}, &hardware.PCIDevice{}, &runtime.ExtensionStatus{}, &runtime.KernelParamStatus{},
	&runtime.LoadedKernelModule{}, &runtime.MachineStatus{},
}

// Resources is the node's COSI state, kept as the machine is.
type Resources struct {
	core  state.CoreState
	state state.State
	m     *boot.Machine

	syncing sync.Mutex
	present []resource.Pointer
}

// NewResources returns the state of m and follows its changes.
func NewResources(m *boot.Machine) (*Resources, error) {
	core := namespaced.NewState(inmem.Build)
	r := &Resources{core: core, state: state.WrapCore(core), m: m}

	if err := r.register(context.Background()); err != nil {
		return nil, err
	}

	m.OnChange(r.sync)
	r.sync()

	return r, nil
}

// register lists namespaces and types as resources of their own: Talos's clients look aliases up there.
func (r *Resources) register(ctx context.Context) error {
	namespaces, types := registry.NewNamespaceRegistry(r.state), registry.NewResourceRegistry(r.state)

	if err := namespaces.RegisterDefault(ctx); err != nil {
		return err
	}

	if err := types.RegisterDefault(ctx); err != nil {
		return err
	}

	for name, description := range map[resource.Namespace]string{
		configres.NamespaceName: "Talos node configuration.", hardware.NamespaceName: "Hardware resources.",
		runtime.NamespaceName: "Talos internal runtime resources.",
	} {
		if err := namespaces.Register(ctx, name, description); err != nil {
			return err
		}
	}

	for _, one := range served {
		if err := types.Register(ctx, one); err != nil {
			return err
		}
	}

	return nil
}

// sensitive tells the types that only admins may see.
func (r *Resources) sensitive(kind resource.Type) bool {
	return slices.ContainsFunc(served, func(one meta.ResourceWithRD) bool {
		definition := one.ResourceDefinition()

		return definition.Type == kind && definition.Sensitivity == meta.Sensitive
	})
}

// sync makes the resources say what the machine is now.
func (r *Resources) sync() {
	r.syncing.Lock()
	defer r.syncing.Unlock()

	ctx, wanted := context.Background(), r.wanted()

	for _, one := range wanted {
		if err := r.put(ctx, one); err != nil {
			r.m.Say("resource %s: %v", one.Metadata(), err)
		}
	}

	for _, old := range r.present {
		if !slices.ContainsFunc(wanted, func(one resource.Resource) bool { return same(one.Metadata(), old) }) {
			if err := r.state.Destroy(ctx, old); err != nil {
				r.m.Say("resource %s: %v", old, err)
			}
		}
	}

	r.present = r.present[:0]
	for _, one := range wanted {
		r.present = append(r.present, one.Metadata().Copy())
	}
}

func (r *Resources) wanted() []resource.Resource {
	found := []resource.Resource{machineStatus(r.m), pciDevice(r.m)}
	found = append(found, extensionStatuses(r.m)...)
	found = append(found, kernelModules(r.m)...)
	found = append(found, kernelParams(r.m)...)

	if provider := r.m.Config(); provider != nil {
		found = append(found, configres.NewMachineConfig(provider))
	}

	if provider := r.m.Persisted(); provider != nil {
		found = append(found, configres.NewMachineConfigWithID(provider, configres.PersistentID))
	}

	return found
}

// put creates the resource, or updates the one that is there if its spec differs.
func (r *Resources) put(ctx context.Context, wanted resource.Resource) error {
	current, err := r.state.Get(ctx, wanted.Metadata())
	if state.IsNotFoundError(err) {
		return r.state.Create(ctx, wanted)
	}

	if err != nil {
		return err
	}

	to, from := wanted.Metadata(), current.Metadata()
	to.SetVersion(from.Version())
	to.SetCreated(from.Created())
	to.SetUpdated(from.Updated())

	if resource.Equal(wanted, current) {
		return nil
	}

	return r.state.Update(ctx, wanted)
}

func same(a, b resource.Pointer) bool {
	return fmt.Sprint(a.Namespace(), a.Type(), a.ID()) == fmt.Sprint(b.Namespace(), b.Type(), b.ID())
}
