package main

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
)

// live names the fields whose change a running machine takes, by Talos's own words for them (CanApplyImmediate of the
// runtime, releases 1.10 to 1.13; it is not part of the machinery, so the rule is written here once more).
var live = map[string][]string{
	"": {"ConfigDebug", "ClusterConfig"},
	"MachineConfig": {
		"MachineCA", "MachineAcceptedCAs", "MachineTime", "MachineCertSANs", "MachineInstall", "MachineNetwork",
		"MachineSysfs", "MachineSysctls", "MachineLogging", "MachineControlPlane", "MachineKubelet", "MachineKernel",
		"MachineRegistries", "MachinePods", "MachineSeccompProfiles", "MachineNodeAnnotations", "MachineNodeLabels",
		"MachineNodeTaints",
	},
	"MachineFeatures": {
		"KubernetesTalosAPIAccessConfig", "KubePrismSupport", "HostDNSSupport", "ImageCacheSupport",
		"FeatureNodeAddressSortAlgorithm",
	},
}

func canApplyImmediate(before, after *v1alpha1.Config) error {
	if before == nil || after == nil {
		return errors.New("not v1alpha1")
	}

	level(before, after, live[""])

	if before.MachineConfig != nil && after.MachineConfig != nil {
		level(before.MachineConfig, after.MachineConfig, live["MachineConfig"])

		if f, g := before.MachineConfig.MachineFeatures, after.MachineConfig.MachineFeatures; f != nil && g != nil {
			level(f, g, live["MachineFeatures"])
		}
	}

	if reflect.DeepEqual(before, after) {
		return nil
	}

	return errors.New("reboot")
}

// level gives the named fields of after the values of before; both are pointers to one struct type.
func level(before, after any, fields []string) {
	from, to := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	for _, name := range fields {
		to.FieldByName(name).Set(from.FieldByName(name))
	}
}

// liveNames tells the live fields by the names that they have in YAML.
func liveNames() map[string][]string {
	names := map[string][]string{}

	for path, at := range map[string]struct {
		fields string
		of     reflect.Type
	}{
		"":                 {"", reflect.TypeFor[v1alpha1.Config]()},
		"machine":          {"MachineConfig", reflect.TypeFor[v1alpha1.MachineConfig]()},
		"machine.features": {"MachineFeatures", reflect.TypeFor[v1alpha1.FeaturesConfig]()},
	} {
		for _, name := range live[at.fields] {
			field, _ := at.of.FieldByName(name)
			tag, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			names[path] = append(names[path], tag)
		}

		slices.Sort(names[path])
	}

	return names
}
