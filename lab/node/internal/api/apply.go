package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talos-nvidia-cdi/lab/node/internal/documents"
	"talos-nvidia-cdi/lab/node/internal/machinery"
)

const (
	modeReboot   = machine.ApplyConfigurationRequest_REBOOT
	modeAuto     = machine.ApplyConfigurationRequest_AUTO
	modeNoReboot = machine.ApplyConfigurationRequest_NO_REBOOT
	modeStaged   = machine.ApplyConfigurationRequest_STAGED
	modeTry      = machine.ApplyConfigurationRequest_TRY
)

// installed is a machine on metal that was installed before.
type installed struct{}

func (installed) String() string        { return "metal" }
func (installed) RequiresInstall() bool { return false }
func (installed) InContainer() bool     { return false }

// plan is how a config will take effect: the mode, Talos's sentence for it, and why it needs a reboot if auto found so.
type plan struct {
	mode    machine.ApplyConfigurationRequest_Mode
	details string
	because string
}

// ApplyConfiguration loads, validates and applies a machine config as Talos does: up to 1.13 by the rule of what a running
// machine takes; from 1.14 on without ever restarting it (siderolabs/talos 995bc30d5; not proven).
func (n *Node) ApplyConfiguration(
	ctx context.Context, in *machine.ApplyConfigurationRequest,
) (*machine.ApplyConfigurationResponse, error) {
	n.applying.Lock()
	defer n.applying.Unlock()

	if in.Mode == modeReboot && n.neverReboots() {
		return nil, status.Error(codes.Unimplemented,
			"the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead")
	}

	if in.Mode != modeTry {
		n.endTrial()
	}

	next, warnings, err := n.load(ctx, in.Data)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	running := n.machine.Config()

	how, err := n.planFor(in.Mode, running, next)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	answer := &machine.ApplyConfiguration{Mode: how.mode}

	if in.DryRun {
		answer.ModeDetails, err = summary(how, running, next)
	} else {
		n.machine.Say("apply config request: mode %s", strings.ToLower(how.mode.String()))

		answer.Warnings, answer.ModeDetails = warnings, how.details+how.because
		if how.mode == modeTry {
			answer.ModeDetails += fmt.Sprintf(
				"\nThe config is applied in 'try' mode and will be automatically reverted back in %s", trialTime(in))
		}

		err = n.apply(how.mode, trialTime(in), running, next)
	}

	if err != nil {
		return nil, err
	}

	return &machine.ApplyConfigurationResponse{Messages: []*machine.ApplyConfiguration{answer}}, nil
}

func (n *Node) load(ctx context.Context, raw []byte) (config.Provider, []string, error) {
	next, err := documents.Load(raw, n.machine.Profile.Minor())
	if err != nil {
		return nil, nil, err
	}

	if next.RawV1Alpha1() == nil {
		return nil, nil, fmt.Errorf("the applied machine configuration doesn't contain v1alpha1 config, " +
			"did you mean to patch the machine config instead?")
	}

	warnings, err := next.Validate(installed{})
	if err != nil {
		return nil, nil, err
	}

	more, err := next.RuntimeValidate(ctx, n.resources.state, installed{})

	return next, slices.Concat(warnings, more), err
}

func (n *Node) neverReboots() bool { return n.machine.Profile.Minor() >= documents.Since }

func (n *Node) planFor(asked machine.ApplyConfigurationRequest_Mode, running, next config.Provider) (plan, error) {
	live := plan{mode: asked, details: "Applied configuration without a reboot"}

	if n.neverReboots() && asked != modeStaged {
		if asked == modeAuto {
			live.mode = modeNoReboot
		}

		return live, nil
	}

	reboot := plan{mode: modeReboot, details: "Applied configuration with a reboot"}

	switch asked {
	case modeTry, modeNoReboot:
		return live, CanApplyImmediate(running, next)
	case modeStaged:
		return plan{mode: asked, details: "Staged configuration to be applied after the next reboot"}, nil
	case modeAuto:
		if err := CanApplyImmediate(running, next); err != nil {
			reboot.because = ": " + err.Error()

			return reboot, nil
		}

		live.mode = modeNoReboot

		return live, nil
	case modeReboot:
		return reboot, nil
	default:
		return plan{}, fmt.Errorf("incorrect mode '%s' specified for the apply config call", asked)
	}
}

// summary is a dry run's answer.
func summary(how plan, running, next config.Provider) (string, error) {
	var before config.Encoder
	if running != nil {
		before = running
	}

	diff, err := machinery.Diff(before, next)
	if err != nil {
		return "", fmt.Errorf("failed to generate diff: %w", err)
	}

	if diff == "" {
		diff = "No changes."
	}

	return fmt.Sprintf("Dry run summary:\n%s (skipped in dry-run).\nConfig diff:\n\n%s", how.details, diff), nil
}

func trialTime(in *machine.ApplyConfigurationRequest) time.Duration {
	if in.TryModeTimeout != nil {
		return in.TryModeTimeout.AsDuration()
	}

	return constants.ConfigTryTimeout
}

func (n *Node) apply(
	mode machine.ApplyConfigurationRequest_Mode, trial time.Duration, running, next config.Provider,
) error {
	if mode == modeTry {
		n.startTrial(trial, running)

		return n.machine.Use(next)
	}

	if err := n.machine.Persist(next); err != nil {
		return err
	}

	switch mode {
	case modeReboot:
		n.machine.Reboot()
	case modeNoReboot:
		return n.machine.Use(next)
	}

	return nil
}

// startTrial has the config before it come back after a while, unless another one is applied.
func (n *Node) startTrial(after time.Duration, before config.Provider) {
	n.endTrial()
	n.trial = time.AfterFunc(after, func() {
		n.machine.Say("rolling back the configuration")

		if err := n.machine.Use(before); err != nil {
			n.machine.Say("config rollback failed %v", err)
		}
	})
}

func (n *Node) endTrial() {
	if n.trial != nil {
		n.trial.Stop()
	}
}
