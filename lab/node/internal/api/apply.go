package api

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talos-nvidia-cdi/lab/node/internal/spec"
)

const tryTimeout = time.Minute // constants.ConfigTryTimeout

type metal struct{}

func (metal) String() string        { return "metal" }
func (metal) RequiresInstall() bool { return true }
func (metal) InContainer() bool     { return false }

// ApplyConfiguration loads, validates and applies a machine config as Talos 1.11 does.
func (n *Node) ApplyConfiguration(_ context.Context, in *machine.ApplyConfigurationRequest) (*machine.ApplyConfigurationResponse, error) {
	n.applying.Lock()
	defer n.applying.Unlock()

	provider, err := configloader.NewFromBytes(in.Data)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	warnings, err := provider.Validate(metal{})
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	running := n.machine.Config()
	if running == nil {
		return nil, status.Error(codes.FailedPrecondition, "the node is still booting")
	}

	mode, refused := resolve(in.Mode, running, provider)
	if refused != nil {
		return nil, status.Error(codes.InvalidArgument, refused.Error())
	}

	details, err := n.details(in, mode, running, provider)
	if err != nil {
		return nil, err
	}

	if !in.DryRun {
		if err := n.apply(in, mode, running, provider); err != nil {
			return nil, err
		}
	}

	return &machine.ApplyConfigurationResponse{Messages: []*machine.ApplyConfiguration{
		{Warnings: warnings, Mode: mode, ModeDetails: details},
	}}, nil
}

// resolve decides how the config takes effect, or why the asked mode can't be.
func resolve(asked machine.ApplyConfigurationRequest_Mode, running, next config.Provider) (machine.ApplyConfigurationRequest_Mode, error) {
	blocked := NeedsReboot(running, next)

	switch asked {
	case machine.ApplyConfigurationRequest_AUTO:
		if len(blocked) == 0 {
			return machine.ApplyConfigurationRequest_NO_REBOOT, nil
		}

		return machine.ApplyConfigurationRequest_REBOOT, nil
	case machine.ApplyConfigurationRequest_NO_REBOOT, machine.ApplyConfigurationRequest_TRY:
		if len(blocked) > 0 {
			return asked, fmt.Errorf(
				"this config change can't be applied in immediate mode\ndiff: %s", strings.Join(blocked, ", "))
		}
	case machine.ApplyConfigurationRequest_REBOOT, machine.ApplyConfigurationRequest_STAGED:
	}

	return asked, nil
}

// NeedsReboot names the parts of the v1alpha1 document that differ and that Talos 1.11 does not apply to a running
// machine (internal/app/machined/pkg/runtime, CanApplyImmediate); documents of other kinds always apply at once.
func NeedsReboot(running, next config.Provider) []string {
	before, after := running.RawV1Alpha1(), next.RawV1Alpha1()
	if before == nil || after == nil {
		if before == after {
			return nil
		}

		return []string{"v1alpha1"}
	}

	a, b := before.DeepCopy(), after.DeepCopy()
	forgive(a, b)

	var blocked []string

	x, y := reflect.ValueOf(*a.MachineConfig), reflect.ValueOf(*b.MachineConfig)
	for i := range x.NumField() {
		if !sameYAML(x.Field(i).Interface(), y.Field(i).Interface()) {
			name, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("yaml"), ",")
			blocked = append(blocked, "machine."+name)
		}
	}

	return blocked
}

// forgive copies into a what may change while the machine runs.
func forgive(a, b *v1alpha1.Config) {
	a.ConfigDebug, a.ClusterConfig = b.ConfigDebug, b.ClusterConfig

	x, y := a.MachineConfig, b.MachineConfig
	x.MachineCertSANs, x.MachineTime, x.MachineNetwork = y.MachineCertSANs, y.MachineTime, y.MachineNetwork
	x.MachineInstall, x.MachineSysctls, x.MachineSysfs = y.MachineInstall, y.MachineSysctls, y.MachineSysfs
	x.MachineLogging, x.MachineControlPlane, x.MachineKubelet = y.MachineLogging, y.MachineControlPlane, y.MachineKubelet
	x.MachinePods, x.MachineRegistries, x.MachineNodeLabels = y.MachinePods, y.MachineRegistries, y.MachineNodeLabels
	x.MachineNodeAnnotations, x.MachineNodeTaints = y.MachineNodeAnnotations, y.MachineNodeTaints
	x.MachineSeccompProfiles, x.MachineKernel = y.MachineSeccompProfiles, y.MachineKernel
	x.MachineFeatures, x.MachineCA, x.MachineAcceptedCAs = y.MachineFeatures, y.MachineCA, y.MachineAcceptedCAs
}

func encoded(provider config.Provider) ([]byte, error) {
	return provider.EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
}

func (n *Node) details(
	in *machine.ApplyConfigurationRequest, mode machine.ApplyConfigurationRequest_Mode, running, next config.Provider,
) (string, error) {
	before, err := encoded(running)
	if err != nil {
		return "", err
	}

	after, err := encoded(next)
	if err != nil {
		return "", err
	}

	how := map[machine.ApplyConfigurationRequest_Mode]string{
		machine.ApplyConfigurationRequest_REBOOT:    "Applied configuration with a reboot",
		machine.ApplyConfigurationRequest_NO_REBOOT: "Applied configuration without a reboot",
		machine.ApplyConfigurationRequest_STAGED:    "Staged configuration to be applied after the next reboot",
		machine.ApplyConfigurationRequest_TRY:       "Applied configuration without a reboot, to be reverted",
	}[mode]
	if !in.DryRun {
		return how, nil
	}

	diff := "No changes."

	if blocked := NeedsReboot(running, next); len(blocked) > 0 {
		diff = fmt.Sprintf("Config diff: needs a reboot: %s", strings.Join(blocked, ", "))
	} else if !bytes.Equal(before, after) {
		diff = "Config diff: every change applies to a running machine."
	}

	return fmt.Sprintf("Dry run summary:\n%s (skipped in dry-run).\n%s", how, diff), nil
}

func (n *Node) apply(
	in *machine.ApplyConfigurationRequest, mode machine.ApplyConfigurationRequest_Mode, running, next config.Provider,
) error {
	n.revert() // a new config ends a trial

	switch mode {
	case machine.ApplyConfigurationRequest_STAGED:
		return os.WriteFile(spec.StagedFile, in.Data, 0o600)
	case machine.ApplyConfigurationRequest_TRY:
		timeout := tryTimeout
		if in.TryModeTimeout != nil {
			timeout = in.TryModeTimeout.AsDuration()
		}

		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		n.revert = cancel
		context.AfterFunc(ctx, func() { n.endTrial(ctx, running) })

		return n.machine.Use(next)
	case machine.ApplyConfigurationRequest_REBOOT:
		if err := n.machine.Persist(in.Data); err != nil {
			return err
		}

		n.machine.Reboot()

		return nil
	default:
		if err := n.machine.Persist(in.Data); err != nil {
			return err
		}

		return n.machine.Use(next)
	}
}

func (n *Node) endTrial(ctx context.Context, before config.Provider) {
	if ctx.Err() != context.DeadlineExceeded {
		return
	}

	n.machine.Say("removing the configuration that was tried")

	if err := n.machine.Use(before); err != nil {
		n.machine.Say("reverting: %v", err)
	}
}
