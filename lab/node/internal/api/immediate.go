package api

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"

	"talos-nvidia-cdi/lab/node/internal/machinery"
)

// CanApplyImmediate returns why next needs a reboot over running, with the diff of what does; nil if it needs none.
// Only the v1alpha1 document can: the others always apply to a running machine
// (siderolabs/talos, internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_runtime.go, releases 1.10 to 1.13).
func CanApplyImmediate(running, next config.Provider) error {
	if running == nil {
		return errors.New("no current config")
	}

	before, after := running.RawV1Alpha1(), next.RawV1Alpha1()
	if before == nil {
		return errors.New("current config is not v1alpha1")
	}

	if after == nil {
		return errors.New("new config is not v1alpha1")
	}

	after = after.DeepCopy()
	forgive(before, after)

	if reflect.DeepEqual(before, after) {
		return nil
	}

	diff, err := machinery.Diff(container.NewV1Alpha1(before), container.NewV1Alpha1(after))
	if err != nil {
		return fmt.Errorf("error calculating diff: %w", err)
	}

	return fmt.Errorf("this config change can't be applied in immediate mode\ndiff: %s", diff)
}

// forgive makes equal what may change while the machine runs.
func forgive(before, after *v1alpha1.Config) {
	after.ConfigDebug, after.ClusterConfig = before.ConfigDebug, before.ClusterConfig

	x, y := before.MachineConfig, after.MachineConfig
	if x == nil || y == nil {
		return
	}

	y.MachineCA, y.MachineAcceptedCAs, y.MachineCertSANs = x.MachineCA, x.MachineAcceptedCAs, x.MachineCertSANs
	y.MachineTime, y.MachineNetwork, y.MachineInstall = x.MachineTime, x.MachineNetwork, x.MachineInstall
	y.MachineSysctls, y.MachineSysfs, y.MachineKernel = x.MachineSysctls, x.MachineSysfs, x.MachineKernel
	y.MachineLogging, y.MachineControlPlane, y.MachineKubelet = x.MachineLogging, x.MachineControlPlane, x.MachineKubelet
	y.MachinePods, y.MachineRegistries, y.MachineSeccompProfiles = x.MachinePods, x.MachineRegistries, x.MachineSeccompProfiles
	y.MachineNodeLabels, y.MachineNodeAnnotations = x.MachineNodeLabels, x.MachineNodeAnnotations
	y.MachineNodeTaints = x.MachineNodeTaints

	f, g := x.MachineFeatures, y.MachineFeatures
	if f == nil || g == nil {
		return
	}

	g.KubernetesTalosAPIAccessConfig, g.KubePrismSupport = f.KubernetesTalosAPIAccessConfig, f.KubePrismSupport
	g.HostDNSSupport, g.ImageCacheSupport = f.HostDNSSupport, f.ImageCacheSupport
	g.FeatureNodeAddressSortAlgorithm = f.FeatureNodeAddressSortAlgorithm
}
