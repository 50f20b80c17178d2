package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"talos-nvidia-cdi/lab/node/internal/boot"
)

const (
	label  = "    nodeLabels:\n        node.kubernetes.io/gpu-vendor: nvidia\n"
	module = "    kernel:\n        modules:\n            - name: nvidia_uvm\n"
	sysctl = "    sysctls:\n        net.core.bpf_jit_harden: \"1\"\n"
	udev   = "    udev:\n        rules:\n            - SUBSYSTEM==\"drm\", GROUP=\"44\"\n"
	file   = "    files:\n        - path: /var/x\n          op: create\n          permissions: 0o600\n          content: x\n"
)

type modes = machine.ApplyConfigurationRequest_Mode

const (
	reboot   = machine.ApplyConfigurationRequest_REBOOT
	auto     = machine.ApplyConfigurationRequest_AUTO
	noReboot = machine.ApplyConfigurationRequest_NO_REBOOT
	staged   = machine.ApplyConfigurationRequest_STAGED
	try      = machine.ApplyConfigurationRequest_TRY
)

func (l lab) with(add string) string {
	return strings.Replace(l.base, "machine:\n", "machine:\n"+add, 1)
}

func (l lab) apply(t *testing.T, in *machine.ApplyConfigurationRequest) (*machine.ApplyConfiguration, error) {
	t.Helper()

	ctx, c := l.dial(t, "talosconfig")

	answer, err := c.ApplyConfiguration(ctx, in)
	if err != nil {
		return nil, err
	}

	return answer.Messages[0], nil
}

func (l lab) bootJitHarden() string { return l.kernel.sysctl("net.core.bpf_jit_harden") }

func (l lab) rebooting() bool {
	stage, _ := l.machine.Stage()

	return stage == boot.Rebooting
}

func TestADryRunSaysTheModeAndTheDiffAndChangesNothing(t *testing.T) {
	l := serve(t)

	for _, one := range []struct {
		name, add string
		want      modes
	}{
		{"nothing", "", noReboot},
		{"a label", label, noReboot},
		{"a module", module, noReboot},
		{"a sysctl", sysctl, noReboot},
		{"udev rules", udev, reboot},
		{"a file", file, reboot},
		{"a module and a file", module + file, reboot},
	} {
		answer, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(l.with(one.add)), Mode: auto, DryRun: true})
		must(t, err)

		sentence := "Dry run summary:\nApplied configuration without a reboot (skipped in dry-run).\nConfig diff:\n\n"
		if one.want == reboot {
			sentence = strings.Replace(sentence, "without", "with", 1)
		}

		if answer.Mode != one.want || !strings.HasPrefix(answer.ModeDetails, sentence) {
			t.Errorf("%s: %v", one.name, answer)
		}

		for line := range strings.Lines(one.add) {
			if !strings.Contains(answer.ModeDetails, strings.Trim(line, " -\n")) {
				t.Errorf("%s: the diff lacks %q:\n%s", one.name, line, answer.ModeDetails)
			}
		}

		if one.add == "" && !strings.HasSuffix(answer.ModeDetails, "\n\nNo changes.") {
			t.Errorf("%s: %s", one.name, answer.ModeDetails)
		}
	}

	if l.persisted(t) != "" || len(l.machine.Modules()) != 0 || l.bootJitHarden() != "2" || l.rebooting() {
		t.Error("a dry run changed something")
	}
}

func TestWhatNeedsARebootIsRefusedWithoutOne(t *testing.T) {
	l := serve(t)

	for _, mode := range []modes{noReboot, try} {
		_, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(l.with(module + udev)), Mode: mode})
		want := "this config change can't be applied in immediate mode\ndiff: --- a\n+++ b\n"

		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "+    udev:") {
			t.Errorf("%v: %v", mode, err)
		}

		if err != nil && strings.Contains(err.Error(), "+            - name: nvidia_uvm") {
			t.Errorf("%v: the diff names what needs no reboot: %v", mode, err)
		}
	}

	if l.persisted(t) != "" || len(l.machine.Modules()) != 0 {
		t.Error("a refused config changed something")
	}
}

func TestAConfigThatTalosRefuses(t *testing.T) {
	l := serve(t)

	for want, data := range map[string]string{
		"unknown keys found during decoding": l.with("    nodeLables:\n        a: b\n"),
		"doesn't contain v1alpha1 config":    "apiVersion: v1alpha1\nkind: WatchdogTimerConfig\ndevice: /dev/watchdog0\n",
		"invalid machine node labels":        l.with("    nodeLabels:\n        a/b/c: d\n"),
		"is too new to be used with Talos":   strings.Replace(l.base, "kubelet:v1.34.1", "kubelet:v1.44.0", 1),
	} {
		_, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(data), Mode: auto})
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestWithoutARebootTheMachineChangesAtOnce(t *testing.T) {
	l := serve(t)
	config := l.with(module + sysctl)

	answer, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(config), Mode: auto})
	must(t, err)

	if answer.Mode != noReboot || answer.ModeDetails != "Applied configuration without a reboot" {
		t.Errorf("%v", answer)
	}

	var names []string
	for _, one := range l.machine.Modules() {
		names = append(names, one.Name)
	}

	if l.persisted(t) != config || strings.Join(names, " ") != "nvidia nvidia_uvm" || l.bootJitHarden() != "1" || l.rebooting() {
		t.Errorf("modules %v, bpf_jit_harden %s", names, l.bootJitHarden())
	}
}

func TestAutoRebootsForAFile(t *testing.T) {
	l := serve(t)
	config := l.with(module + file)

	answer, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(config), Mode: auto})
	must(t, err)

	if answer.Mode != reboot || !strings.HasPrefix(answer.ModeDetails, "Applied configuration with a reboot: this config change can't") {
		t.Errorf("%v", answer)
	}

	if l.persisted(t) != config || !l.rebooting() || len(l.machine.Modules()) != 0 {
		t.Error("it does not reboot into the new config")
	}
}

func TestAStagedConfigWaitsForTheNextBoot(t *testing.T) {
	l := serve(t)
	config := l.with(module + sysctl)

	answer, err := l.apply(t, &machine.ApplyConfigurationRequest{Data: []byte(config), Mode: staged})
	must(t, err)

	if answer.Mode != staged || answer.ModeDetails != "Staged configuration to be applied after the next reboot" {
		t.Errorf("%v", answer)
	}

	if l.persisted(t) != config || len(l.machine.Modules()) != 0 || l.bootJitHarden() != "2" || l.rebooting() {
		t.Error("it did not wait")
	}
}

func TestATriedConfigIsTakenBack(t *testing.T) {
	l := serve(t)

	answer, err := l.apply(t, &machine.ApplyConfigurationRequest{
		Data: []byte(l.with(sysctl)), Mode: try, TryModeTimeout: durationpb.New(2 * time.Second),
	})
	must(t, err)

	if answer.Mode != try || !strings.HasSuffix(answer.ModeDetails, "will be automatically reverted back in 2s") {
		t.Errorf("%v", answer)
	}

	if l.bootJitHarden() != "1" || l.persisted(t) != "" {
		t.Errorf("tried: bpf_jit_harden %s", l.bootJitHarden())
	}

	eventually(t, "the old value is back", func() bool { return l.bootJitHarden() == "2" })
}

func TestAConfigAppliedAfterATrialStays(t *testing.T) {
	l := serve(t)
	request := &machine.ApplyConfigurationRequest{
		Data: []byte(l.with(sysctl)), Mode: try, TryModeTimeout: durationpb.New(100 * time.Millisecond),
	}

	_, err := l.apply(t, request)
	must(t, err)

	_, err = l.apply(t, &machine.ApplyConfigurationRequest{Data: request.Data, Mode: noReboot})
	must(t, err)
	time.Sleep(200 * time.Millisecond) // past the trial's end

	if l.bootJitHarden() != "1" {
		t.Errorf("bpf_jit_harden %s", l.bootJitHarden())
	}
}
