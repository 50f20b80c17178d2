package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"talos-nvidia-cdi/lab/node/internal/api"
	"talos-nvidia-cdi/lab/node/internal/boot"
	"talos-nvidia-cdi/lab/node/internal/host"
	"talos-nvidia-cdi/lab/node/internal/identity"
	"talos-nvidia-cdi/lab/node/internal/spec"
)

// answerTime is how long a reboot waits for those who are connected, the one who asked for it among them.
const answerTime = time.Second

// pid1 is the node's init: it returns only with an error, and a reboot ends the process.
func pid1() error {
	unix.CloseOnExec(host.LifelineFD)

	go watchLifeline()

	m, err := machine()
	if err != nil {
		return err
	}

	callers, faulty := &api.Callers{}, api.NewFaulty(spec.StateDir)

	server, err := newServer(m, callers, faulty)
	if err != nil {
		return err
	}

	listener, err := api.Listen()
	if err != nil {
		return err
	}

	go m.Boot()

	served := make(chan error, 1)
	go func() { served <- server.Serve(faulty.Listener(listener)) }()

	select {
	case err := <-served:
		return err
	case <-m.Rebooting():
	}

	select {
	case <-callers.Gone():
	case <-time.After(answerTime): // watches have no end of their own
	}

	os.Exit(spec.RebootExit)

	return nil
}

// watchLifeline ends the node when the supervisor's end of the pipe closes.
func watchLifeline() {
	os.NewFile(host.LifelineFD, "lifeline").Read(make([]byte, 1)) //nolint:errcheck // ends by the pipe's closing
	os.Exit(1)
}

func machine() (*boot.Machine, error) {
	node, err := spec.Load[spec.Node](spec.NodeFile)
	if err != nil {
		return nil, err
	}

	profile, err := spec.Load[spec.Profile](spec.ProfileFile)
	if err != nil {
		return nil, err
	}

	bootID, err := os.ReadFile(spec.BootIDFile)
	if err != nil {
		return nil, err
	}

	facts, err := boot.Pretend(profile, string(bootID))
	if err != nil {
		return nil, err
	}

	return boot.New(node, profile, string(bootID), spec.StateDir, facts), nil
}

func newServer(m *boot.Machine, callers *api.Callers, faulty *api.Faulty) (*grpc.Server, error) {
	own, err := identity.Load(spec.IdentityDir)
	if err != nil {
		return nil, err
	}

	credentials, err := own.Credentials()
	if err != nil {
		return nil, err
	}

	resources, err := api.NewResources(m)
	if err != nil {
		return nil, err
	}

	names := []string{m.Node.Name, m.Node.Address, "127.0.0.1"}

	opts := append(faulty.Options(), grpc.Creds(credentials), grpc.StatsHandler(callers))

	return api.NewServer(api.NewNode(m, resources), resources, names, opts...), nil
}
