package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
)

const (
	inputKey, inputWriteOnlyKey   = "machineConfigurationInput", "machineConfigurationInputWo"
	clientKey, clientWriteOnlyKey = "clientConfiguration", "clientConfigurationWo"
	modeIfNeeded                  = "staged_if_needing_reboot"
)

var applyModes = []string{"auto", "reboot", "no_reboot", "staged", modeIfNeeded}

// validateApply finds what the provider's schema and ValidateConfig refuse. An unknown value counts as set.
func validateApply(in props) []*pulumirpc.CheckFailure {
	var out []*pulumirpc.CheckFailure
	fail := func(property, format string, args ...any) {
		out = append(out, &pulumirpc.CheckFailure{Property: property, Reason: fmt.Sprintf(format, args...)})
	}
	if in["node"] == nil {
		fail("node", "Missing required property 'node'")
	}
	if mode, set := in["applyMode"]; set && mode != unknown && !slices.Contains(applyModes, text(in, "applyMode")) {
		fail("applyMode", "Attribute apply_mode value must be one of: %q, got: %q", applyModes, mode)
	}
	exactlyOne := func(key, writeOnly, missing, conflict string) {
		switch _, a := in[key]; {
		case !a && in[writeOnly] == nil:
			fail(key, "%s", missing)
		case a && in[writeOnly] != nil:
			fail(key, "%s", conflict)
		}
	}
	exactlyOne(inputKey, inputWriteOnlyKey,
		"Missing machine configuration input: exactly one of machine_configuration_input or machine_configuration_input_wo must be set",
		"Conflicting machine configuration input: only one of machine_configuration_input or machine_configuration_input_wo can be set, not both")
	exactlyOne(clientKey, clientWriteOnlyKey,
		"Missing client configuration: exactly one of client_configuration or client_configuration_wo must be set",
		"Conflicting client configuration: only one of client_configuration or client_configuration_wo can be set, not both")
	if reset, _ := child(in, "onDestroy")["reset"].(bool); reset {
		fail("onDestroy", "this stand-in does not reset machines; leave onDestroy.reset unset or use the official plugin")
	}
	return out
}

// render patches the configuration as ModifyPlan does: strict decoding, no validation against the node.
func render(configuration string, patches []string) (string, error) {
	loaded, err := configpatcher.LoadPatches(patches)
	if err != nil {
		return "", fmt.Errorf("error loading config patches: %w", err)
	}
	patched, err := configpatcher.Apply(configpatcher.WithBytes([]byte(configuration)), loaded)
	if err != nil {
		return "", fmt.Errorf("error applying config patches: %w", err)
	}
	raw, err := patched.Bytes()
	if err != nil {
		return "", fmt.Errorf("error converting config to bytes: %w", err)
	}
	return string(raw), nil
}

// planned is a plan of ConfigurationApply.
type planned struct {
	outputs       props  // what the state will hold; write-only inputs are never among them
	configuration string // what the node is to get; empty when it can't be known yet
}

// plan tells what the state will be after the inputs are applied. old is the state's outputs, nil for a create.
func plan(in, old props) (planned, error) {
	out := props{"id": "machine_configuration_apply", "applyMode": "auto"}
	for _, key := range []string{"node", "applyMode", "endpoint", clientKey, inputKey, "configPatches", "timeouts"} {
		if value, set := in[key]; set {
			out[key] = value
		}
	}
	if _, set := out["endpoint"]; !set {
		out["endpoint"] = out["node"]
	}
	if destroy := child(in, "onDestroy"); destroy != nil {
		out["onDestroy"] = props{
			"reset": flagOr(destroy, "reset", false), "graceful": flagOr(destroy, "graceful", true),
			"reboot": flagOr(destroy, "reboot", false),
		}
	}
	for _, computed := range []string{"machineConfiguration", "machineConfigurationHash"} {
		out[computed] = kept(old, computed) // v0.11.0 keeps the state's value where the new one is not known
	}
	out["resolvedApplyMode"] = unknown
	input := in[inputWriteOnlyKey]
	if input == nil {
		input = in[inputKey]
	}
	patches, known := list(in, "configPatches")
	if in["node"] == unknown || in["endpoint"] == unknown || input == unknown || !known {
		return planned{outputs: out}, nil
	}
	configuration, err := render(fmt.Sprint(input), patches)
	if err != nil {
		return planned{}, err
	}
	sum := sha256.Sum256([]byte(configuration))
	out["machineConfigurationHash"] = hex.EncodeToString(sum[:])
	if in[inputWriteOnlyKey] != nil {
		delete(out, "machineConfiguration") // it would carry the write-only input into the state
	} else {
		out["machineConfiguration"] = configuration
	}
	out["resolvedApplyMode"] = strings.ToLower(text(out, "applyMode"))
	return planned{outputs: out, configuration: configuration}, nil
}

func kept(old props, key string) any {
	if value, set := old[key]; set {
		return value
	}
	return unknown
}

// comparedKeys are what a difference between plan and state can lie in; machineConfiguration follows from its hash.
var comparedKeys = []string{
	"applyMode", clientKey, "configPatches", "endpoint", inputKey, "machineConfigurationHash", "node", "onDestroy", "timeouts",
}

// difference compares the plan with the state. Nothing of this resource asks for a replacement.
func difference(p planned, old props) map[string]*pulumirpc.PropertyDiff {
	out := map[string]*pulumirpc.PropertyDiff{}
	for _, key := range comparedKeys {
		before, had := old[key]
		after, has := p.outputs[key]
		switch {
		case same(before, after):
		case !had:
			out[key] = &pulumirpc.PropertyDiff{Kind: pulumirpc.PropertyDiff_ADD}
		case !has:
			out[key] = &pulumirpc.PropertyDiff{Kind: pulumirpc.PropertyDiff_DELETE}
		default:
			out[key] = &pulumirpc.PropertyDiff{Kind: pulumirpc.PropertyDiff_UPDATE}
		}
	}
	return out
}
