package api

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// FaultsName is the file in the STATE partition that says what is wrong with the machine API; it is read at every call.
const FaultsName = "faults.json"

// Faults is what is wrong. Methods are named without their service: `ApplyConfiguration`.
type Faults struct {
	// Delay is how long every call takes longer, in seconds.
	Delay float64 `json:"delay_s"`
	// Reset: the call is done, and the connection reset before its answer.
	Reset []string `json:"reset_after"`
	// Hang: the call is never answered.
	Hang []string `json:"hang"`
	// Cut: messages of a stream after which the connection is reset.
	Cut map[string]int `json:"cut_after"`
}

func faults(stateDir string) Faults {
	var found Faults

	raw, err := os.ReadFile(filepath.Join(stateDir, FaultsName))
	if err != nil || json.Unmarshal(raw, &found) != nil {
		return Faults{}
	}

	return found
}

// Faulty breaks calls as the file says.
type Faulty struct {
	stateDir string

	mu    sync.Mutex
	conns map[string]net.Conn // by the caller's address
}

// NewFaulty reads its file in stateDir.
func NewFaulty(stateDir string) *Faulty {
	return &Faulty{stateDir: stateDir, conns: map[string]net.Conn{}}
}

// Options are to be given to the server, which has to listen through Listener.
func (f *Faulty) Options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(f.unary), grpc.ChainStreamInterceptor(f.stream)}
}

// Listener remembers the connections that it accepts, so that one can be reset.
func (f *Faulty) Listener(l net.Listener) net.Listener {
	return &rememberingListener{Listener: l, faulty: f}
}

func (f *Faulty) unary(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	wrong, method := faults(f.stateDir), path.Base(info.FullMethod)

	if err := wrong.before(ctx, method); err != nil {
		return nil, err
	}

	out, err := next(ctx, in)

	if slices.Contains(wrong.Reset, method) {
		return nil, f.reset(ctx)
	}

	return out, err
}

func (f *Faulty) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	wrong, method := faults(f.stateDir), path.Base(info.FullMethod)

	if err := wrong.before(stream.Context(), method); err != nil {
		return err
	}

	if after, ok := wrong.Cut[method]; ok {
		stream = &cutStream{ServerStream: stream, faulty: f, left: after}
	}

	err := next(srv, stream)

	if slices.Contains(wrong.Reset, method) {
		return f.reset(stream.Context())
	}

	return err
}

func (w Faults) before(ctx context.Context, method string) error {
	pause := time.Duration(w.Delay * float64(time.Second))
	if slices.Contains(w.Hang, method) {
		pause = time.Hour
	}

	select {
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-time.After(pause):
		return nil
	}
}

// reset ends the caller's connection with a TCP reset.
func (f *Faulty) reset(ctx context.Context) error {
	if p, ok := peer.FromContext(ctx); ok {
		f.mu.Lock()
		conn := f.conns[p.Addr.String()]
		f.mu.Unlock()

		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) //nolint:errcheck
			tcp.Close()      //nolint:errcheck
		}
	}

	return status.Error(codes.Unavailable, "reset by the lab")
}

type cutStream struct {
	grpc.ServerStream
	faulty *Faulty
	left   int
}

func (s *cutStream) SendMsg(out any) error {
	if s.left == 0 {
		return s.faulty.reset(s.Context())
	}

	s.left--

	return s.ServerStream.SendMsg(out)
}

type rememberingListener struct {
	net.Listener
	faulty *Faulty
}

func (l *rememberingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.faulty.mu.Lock()
		l.faulty.conns[conn.RemoteAddr().String()] = conn
		l.faulty.mu.Unlock()
	}

	return conn, err
}
