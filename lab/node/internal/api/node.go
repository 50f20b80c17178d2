package api

import (
	"context"
	"sync"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"talos-nvidia-cdi/lab/node/internal/boot"
)

// Node answers the calls of the machine service.
type Node struct {
	machine.UnimplementedMachineServiceServer

	machine *boot.Machine
	// applying serialises configuration changes.
	applying sync.Mutex
	revert   context.CancelFunc
}

// NewNode serves m.
func NewNode(m *boot.Machine) *Node { return &Node{machine: m, revert: func() {}} }

// Version says which Talos the node pretends to be.
func (n *Node) Version(context.Context, *emptypb.Empty) (*machine.VersionResponse, error) {
	return &machine.VersionResponse{Messages: []*machine.Version{{
		Version:  &machine.VersionInfo{Tag: n.machine.Profile.Talos, Sha: "pretended by the lab", Os: "linux", Arch: "amd64"},
		Platform: &machine.PlatformInfo{Name: "metal", Mode: "metal"},
		Features: &machine.FeaturesInfo{Rbac: true},
	}}}, nil
}

// ServiceList lists the services and how they are.
func (n *Node) ServiceList(context.Context, *emptypb.Empty) (*machine.ServiceListResponse, error) {
	list := &machine.ServiceList{}

	for _, s := range n.machine.Services() {
		list.Services = append(list.Services, &machine.ServiceInfo{
			Id: s.ID, State: s.State,
			Events: &machine.ServiceEvents{Events: []*machine.ServiceEvent{{Msg: s.Message, State: s.State}}},
			Health: &machine.ServiceHealth{Unknown: !s.Healthy, Healthy: s.Healthy, LastMessage: s.Message, LastChange: timestamppb.Now()},
		})
	}

	return &machine.ServiceListResponse{Messages: []*machine.ServiceList{list}}, nil
}

// Reboot answers, then reboots.
func (n *Node) Reboot(context.Context, *machine.RebootRequest) (*machine.RebootResponse, error) {
	n.machine.Reboot()

	return &machine.RebootResponse{Messages: []*machine.Reboot{{ActorId: n.machine.BootID}}}, nil
}
