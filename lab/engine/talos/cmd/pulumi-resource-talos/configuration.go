package main

import (
	"fmt"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/bundle"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/gendata"
)

// machineConfiguration answers machine.getConfiguration.
func machineConfiguration(in props) (props, error) {
	out := props{"kubernetesVersion": constants.DefaultKubernetesVersion, "talosVersion": defaultTalosVersion(), "docs": false, "examples": false}
	for key, value := range in {
		out[key] = value
	}
	kind, err := machine.ParseType(text(out, "machineType"))
	if err != nil {
		return nil, err
	}
	contract, err := config.ParseContractFromVersion(text(out, "talosVersion"))
	if err != nil {
		return nil, err
	}
	own, err := bundleOf(child(out, "machineSecrets"))
	if err != nil {
		return nil, err
	}
	patchTexts, known := list(out, "configPatches")
	if !known {
		return nil, fmt.Errorf("config_patches holds a value that is not known yet")
	}
	patches, err := configpatcher.LoadPatches(patchTexts)
	if err != nil {
		return nil, fmt.Errorf("error parsing config patch: %w", err)
	}
	patchOption := bundle.WithPatchWorker(patches)
	if kind == machine.TypeControlPlane {
		patchOption = bundle.WithPatchControlPlane(patches)
	}
	made, err := bundle.NewBundle(bundle.WithVerbose(false), patchOption, bundle.WithInputOptions(&bundle.InputOptions{
		ClusterName: text(out, "clusterName"),
		Endpoint:    text(out, "clusterEndpoint"),
		KubeVersion: strings.TrimPrefix(text(out, "kubernetesVersion"), "v"),
		GenOptions: []generate.Option{
			generate.WithClusterDiscovery(true),
			generate.WithDNSDomain(constants.DefaultDNSDomain),
			generate.WithInstallDisk("/dev/sda"),
			generate.WithInstallImage(fmt.Sprintf("%s/%s/installer:%s", gendata.ImagesRegistry, gendata.ImagesUsername, gendata.VersionTag)),
			generate.WithSecretsBundle(own),
			generate.WithVersionContract(contract),
		},
	}))
	if err != nil {
		return nil, err
	}
	comments := encoder.CommentsDisabled
	if flagOr(out, "docs", false) {
		comments |= encoder.CommentsDocs
	}
	if flagOr(out, "examples", false) {
		comments |= encoder.CommentsExamples
	}
	raw, err := made.Serialize(comments, kind)
	if err != nil {
		return nil, err
	}
	out["id"], out["machineConfiguration"] = text(out, "clusterName"), string(raw)
	return out, nil
}

// clientConfiguration answers client.getConfiguration.
func clientConfiguration(in props) (props, error) {
	endpoints, _ := list(in, "endpoints")
	nodes, _ := list(in, "nodes")
	made, err := talosConfig(text(in, "clusterName"), endpoints, nodes, child(in, clientKey))
	if err != nil {
		return nil, err
	}
	raw, err := made.Bytes()
	if err != nil {
		return nil, err
	}
	out := props{"id": text(in, "clusterName"), "talosConfig": string(raw)}
	for key, value := range in {
		out[key] = value
	}
	return out, nil
}
