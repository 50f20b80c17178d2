// Package api serves the Talos machine API for the node: Talos's messages, roles and rules (release 1.11).
package api

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Port is where Talos's apid listens.
const Port = 50000

var (
	everybody = role.MakeSet(role.Admin, role.Operator, role.Reader)
	operators = role.MakeSet(role.Admin, role.Operator)
	admins    = role.MakeSet(role.Admin)
	nobody    = role.MakeSet()
)

// rules name who may call what (siderolabs/talos, internal/app/machined/pkg/system/services/machined.go, v1.11);
// what is not here is not served.
var rules = map[string]role.Set{
	"/machine.MachineService/Version":            everybody,
	"/machine.MachineService/ServiceList":        everybody,
	"/machine.MachineService/List":               everybody,
	"/machine.MachineService/Dmesg":              everybody,
	"/machine.MachineService/Logs":               everybody,
	"/machine.MachineService/Reboot":             operators,
	"/machine.MachineService/Read":               admins,
	"/machine.MachineService/ApplyConfiguration": admins,
	"/cosi.resource.State/Get":                   everybody,
	"/cosi.resource.State/List":                  everybody,
	"/cosi.resource.State/Watch":                 everybody,
	// resources are written by the machine alone
	"/cosi.resource.State/Create":  nobody,
	"/cosi.resource.State/Update":  nobody,
	"/cosi.resource.State/Destroy": nobody,
}

// NewServer serves node's API and the resources of st to whom the rules allow.
func NewServer(node *Node, resources *Resources, names []string, opts ...grpc.ServerOption) *grpc.Server {
	g := guard{names: names, sensitive: resources.sensitive}
	opts = append(opts,
		grpc.MaxRecvMsgSize(constants.GRPCMaxMessageSize),
		grpc.UnaryInterceptor(func(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := g.allow(ctx, info.FullMethod, in); err != nil {
				return nil, err
			}

			return next(ctx, in)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := g.allow(stream.Context(), info.FullMethod, nil); err != nil {
				return err
			}

			return next(srv, &guardedStream{ServerStream: stream, guard: g, method: info.FullMethod})
		}),
	)

	s := grpc.NewServer(opts...)
	machine.RegisterMachineServiceServer(s, node)
	v1alpha1.RegisterStateServer(s, server.NewState(resources.core))

	return s
}

// guard decides who may call what.
type guard struct {
	names     []string // of this node
	sensitive func(resource.Type) bool
}

func (g guard) allow(ctx context.Context, method string, in any) error {
	if err := g.ownNode(ctx); err != nil {
		return err
	}

	rule, ok := rules[method]
	if !ok {
		return status.Errorf(codes.Unimplemented, "%s is not served by the lab's node", method)
	}

	roles := rolesOf(ctx)
	if !rule.IncludesAny(roles) || (g.isSensitive(in) && !admins.IncludesAny(roles)) {
		return status.Errorf(codes.PermissionDenied, "not authorized")
	}

	return nil
}

// ownNode: a worker's apid forwards to nobody but itself.
func (g guard) ownNode(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, key := range []string{"node", "nodes"} {
		for _, target := range md.Get(key) {
			for name := range strings.SplitSeq(target, ",") {
				if !slices.Contains(g.names, strings.TrimSpace(name)) {
					return status.Error(codes.PermissionDenied, "no request forwarding")
				}
			}
		}
	}

	return nil
}

func rolesOf(ctx context.Context) role.Set {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return role.MakeSet()
	}

	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return role.MakeSet()
	}

	roles, _ := role.Parse(info.State.PeerCertificates[0].Subject.Organization)

	return roles
}

// isSensitive tells a request for resources of a type that only admins may see.
func (g guard) isSensitive(in any) bool {
	typed, ok := in.(interface{ GetType() string })

	return ok && g.sensitive(typed.GetType())
}

// guardedStream checks the request of a streaming call, which the interceptor has not read yet.
type guardedStream struct {
	grpc.ServerStream
	guard  guard
	method string
}

func (s *guardedStream) RecvMsg(in any) error {
	if err := s.ServerStream.RecvMsg(in); err != nil {
		return err
	}

	if s.guard.isSensitive(in) {
		return s.guard.allow(s.Context(), s.method, in)
	}

	return nil
}

// Listen opens the API's port on every address of the node.
func Listen() (net.Listener, error) { return net.Listen("tcp", fmt.Sprintf(":%d", Port)) }
