// Package api serves the Talos machine API for the node: Talos's messages, roles and rules (release 1.11).
package api

import (
	"context"
	"crypto/tls"
	stdx509 "crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
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
}

// sensitive resource types are for admins (meta.Sensitive in machinery).
var sensitive = []string{"MachineConfigs.config.talos.dev", "OSRootSecrets.secrets.talos.dev"}

// Credentials builds the server's TLS identity, signed by the machine CA of the secrets bundle.
func Credentials(bundle *secrets.Bundle, name, address string) (credentials.TransportCredentials, error) {
	ca, err := x509.NewCertificateAuthorityFromCertificateAndKey(bundle.Certs.OS)
	if err != nil {
		return nil, err
	}

	pair, err := x509.NewKeyPair(ca,
		x509.IPAddresses([]net.IP{net.ParseIP(address), net.IPv4(127, 0, 0, 1)}),
		x509.DNSNames([]string{name}),
		x509.CommonName(name),
		x509.NotBefore(time.Now().Add(-time.Minute)),
		x509.NotAfter(time.Now().Add(24*time.Hour)),
		x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth}),
	)
	if err != nil {
		return nil, err
	}

	pool := stdx509.NewCertPool()
	pool.AppendCertsFromPEM(bundle.Certs.OS.Crt)

	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{*pair.Certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2"},
	}), nil
}

// NewServer serves node's API and the resources of st to whom the rules allow.
func NewServer(node machine.MachineServiceServer, st state.CoreState, names []string, opts ...grpc.ServerOption) *grpc.Server {
	g := guard{names: names}
	opts = append(opts,
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
	v1alpha1.RegisterStateServer(s, server.NewState(st))

	return s
}

type guard struct{ names []string }

func (g guard) allow(ctx context.Context, method string, in any) error {
	if err := g.ownNode(ctx); err != nil {
		return err
	}

	rule, ok := rules[method]
	if !ok {
		return status.Errorf(codes.Unimplemented, "%s is not served by the lab's node", method)
	}

	roles := rolesOf(ctx)
	if !rule.IncludesAny(roles) || (isSensitive(in) && !admins.IncludesAny(roles)) {
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

func isSensitive(in any) bool {
	typed, ok := in.(interface{ GetType() string })

	return ok && slices.Contains(sensitive, typed.GetType())
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

	if isSensitive(in) {
		return s.guard.allow(s.Context(), s.method, in)
	}

	return nil
}

// Listen opens the API's port on every address of the node.
func Listen() (net.Listener, error) { return net.Listen("tcp", fmt.Sprintf(":%d", Port)) }
