package api_test

import (
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const later = `---
apiVersion: v1alpha1
kind: KernelModuleConfig
name: nvidia_uvm
`

func TestFrom114OnApplyNeverRestarts(t *testing.T) {
	l := serve(t)
	l.machine.Profile.Talos = "v1.14.0"

	if _, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(l.base), Mode: reboot}); status.Code(err) != codes.Unimplemented {
		t.Fatal(err)
	}

	answer, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(l.with(udev + file)), Mode: auto})
	must(t, err)

	if answer.Mode != noReboot || l.rebooting() {
		t.Fatal(answer)
	}
}

func TestFrom114OnModulesOfDocumentsAreLoadedAndTheConfigIsKeptAsItIs(t *testing.T) {
	l := serve(t)
	l.machine.Profile.Talos = "v1.14.0"
	whole := l.base + later

	_, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(whole), Mode: auto})
	must(t, err)

	var loaded []string
	for _, one := range l.machine.Modules() {
		loaded = append(loaded, one.Name)
	}

	if !strings.Contains(strings.Join(loaded, " "), "nvidia_uvm") {
		t.Fatal(loaded)
	}

	raw, err := l.machine.Persisted().Bytes()
	must(t, err)

	if string(raw) != whole {
		t.Fatalf("%s", raw)
	}
}

func TestBefore114TheDocumentsAreRefused(t *testing.T) {
	l := serve(t)

	_, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(l.base + later), Mode: auto})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "KernelModuleConfig") {
		t.Fatal(err)
	}
}
