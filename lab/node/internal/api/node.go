package api

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/types/known/emptypb"

	"talos-nvidia-cdi/lab/node/internal/boot"
	"talos-nvidia-cdi/lab/node/internal/machinery"
)

// Node answers the calls of the machine service.
type Node struct {
	machine.UnimplementedMachineServiceServer

	machine   *boot.Machine
	resources *Resources
	// applying serialises configuration changes; trial reverts a config that is only tried.
	applying sync.Mutex
	trial    *time.Timer
}

// NewNode serves m.
func NewNode(m *boot.Machine, resources *Resources) *Node {
	return &Node{machine: m, resources: resources}
}

// Version says which Talos the node pretends to be.
func (n *Node) Version(context.Context, *emptypb.Empty) (*machine.VersionResponse, error) {
	answer := &machine.Version{
		Version: &machine.VersionInfo{
			Tag: n.machine.Profile.Talos, Sha: "pretended by the lab", GoVersion: runtime.Version(), Os: "linux", Arch: runtime.GOARCH,
		},
		Platform: &machine.PlatformInfo{Name: "metal", Mode: "metal"},
	}

	if provider := n.machine.Config(); provider != nil {
		answer.Features = &machine.FeaturesInfo{Rbac: machinery.RBAC(provider)}
	}

	return &machine.VersionResponse{Messages: []*machine.Version{answer}}, nil
}

// ServiceList lists the services and how they are.
func (n *Node) ServiceList(context.Context, *emptypb.Empty) (*machine.ServiceListResponse, error) {
	return &machine.ServiceListResponse{Messages: []*machine.ServiceList{{Services: n.machine.Services()}}}, nil
}

// Reboot answers, then reboots.
func (n *Node) Reboot(context.Context, *machine.RebootRequest) (*machine.RebootResponse, error) {
	n.machine.Say("reboot via API received")
	n.machine.Reboot()

	return &machine.RebootResponse{Messages: []*machine.Reboot{{ActorId: n.machine.BootID}}}, nil
}
