package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	applyKind   = "talos:machine/configurationApply:ConfigurationApply"
	secretsKind = "talos:machine/secrets:Secrets"
	machineCall = "talos:machine/getConfiguration:getConfiguration"
	clientCall  = "talos:client/getConfiguration:getConfiguration"
)

type provider struct {
	pulumirpc.UnimplementedResourceProviderServer
	log    *engineLog
	ctx    context.Context // ends when the engine cancels
	cancel context.CancelFunc
}

func newProvider(log *engineLog) *provider {
	ctx, cancel := context.WithCancel(context.Background())
	return &provider{log: log, ctx: ctx, cancel: cancel}
}

func notHere(what string) error {
	return status.Errorf(codes.Unimplemented, "%s is not part of this stand-in for the talos plugin; install the official plugin", what)
}

func kindOf(urn string) string {
	parts := strings.SplitN(urn, "::", 4)
	if len(parts) < 4 {
		return urn
	}
	return parts[2][strings.LastIndex(parts[2], "$")+1:]
}

func (p *provider) Handshake(context.Context, *pulumirpc.ProviderHandshakeRequest) (*pulumirpc.ProviderHandshakeResponse, error) {
	return &pulumirpc.ProviderHandshakeResponse{}, nil
}

func (p *provider) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version}, nil
}

func (p *provider) CheckConfig(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: r.News}, nil
}

func (p *provider) DiffConfig(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}, nil
}

func (p *provider) Configure(context.Context, *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	return &pulumirpc.ConfigureResponse{SupportsPreview: true}, nil
}

func (p *provider) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	p.cancel()
	return &emptypb.Empty{}, nil
}

func (p *provider) Check(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	in := r.News.AsMap()
	switch kind := kindOf(r.Urn); kind {
	case applyKind:
		return &pulumirpc.CheckResponse{Inputs: r.News, Failures: validateApply(in)}, nil
	case secretsKind:
		return &pulumirpc.CheckResponse{Inputs: r.News}, nil
	default:
		return nil, notHere(kind)
	}
}

func (p *provider) Diff(_ context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	in, old := r.News.AsMap(), r.Olds.AsMap()
	var found map[string]*pulumirpc.PropertyDiff
	switch kind := kindOf(r.Urn); kind {
	case applyKind:
		next, err := plan(in, old)
		if err != nil {
			return nil, err
		}
		found = difference(next, old)
	case secretsKind:
		if said := text(in, "talosVersion"); said != "" && said != text(old, "talosVersion") {
			found = map[string]*pulumirpc.PropertyDiff{"talosVersion": {Kind: pulumirpc.PropertyDiff_UPDATE}}
		}
	default:
		return nil, notHere(kind)
	}
	for _, ignored := range r.IgnoreChanges {
		delete(found, ignored)
	}
	out := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE, DetailedDiff: found, HasDetailedDiff: true}
	if len(found) > 0 {
		out.Changes, out.Diffs = pulumirpc.DiffResponse_DIFF_SOME, slices.Sorted(maps.Keys(found))
	}
	return out, nil
}

func (p *provider) Create(ctx context.Context, r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	if !r.Preview {
		p.log.standIn(ctx, r.Urn)
	}
	in := r.Properties.AsMap()
	var out props
	var err error
	switch kind := kindOf(r.Urn); kind {
	case applyKind:
		out, err = p.apply(ctx, r.Urn, in, nil, r.Preview, "create")
	case secretsKind:
		out, err = p.createSecrets(in, r.Preview)
	default:
		return nil, notHere(kind)
	}
	if err != nil {
		return nil, err
	}
	properties, err := wire(out)
	if err != nil || r.Preview {
		return &pulumirpc.CreateResponse{Properties: properties}, err
	}
	return &pulumirpc.CreateResponse{Id: text(out, "id"), Properties: properties}, nil
}

func (p *provider) createSecrets(in props, preview bool) (props, error) {
	talosVersion := text(in, "talosVersion")
	if talosVersion == "" {
		talosVersion = defaultTalosVersion()
	}
	if preview {
		return props{"talosVersion": talosVersion, "clientConfiguration": unknown, "machineSecrets": unknown}, nil
	}
	return newSecrets(talosVersion)
}

// Update of machine.Secrets keeps the secrets and takes the new version only.
func (p *provider) Update(ctx context.Context, r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	if !r.Preview {
		p.log.standIn(ctx, r.Urn)
	}
	in, out := r.News.AsMap(), r.Olds.AsMap()
	var err error
	switch kind := kindOf(r.Urn); kind {
	case applyKind:
		out, err = p.apply(ctx, r.Urn, in, out, r.Preview, "update")
	case secretsKind:
		out["talosVersion"] = in["talosVersion"]
	default:
		return nil, notHere(kind)
	}
	if err != nil {
		return nil, err
	}
	properties, err := wire(out)
	return &pulumirpc.UpdateResponse{Properties: properties}, err
}

// apply plans and, unless this is a preview, sends the configuration to the node. A preview reaches for the network in
// mode staged_if_needing_reboot only.
func (p *provider) apply(ctx context.Context, urn string, in, old props, preview bool, operation string) (props, error) {
	next, err := plan(in, old)
	if err != nil {
		return nil, err
	}
	if next.configuration != "" && text(next.outputs, "applyMode") == modeIfNeeded {
		p.resolveMode(ctx, urn, in, old, &next)
	}
	if preview {
		return next.outputs, nil
	}
	if hasUnknown(in) {
		return nil, fmt.Errorf("an input is not known at %s", operation)
	}
	node, err := targetOf(in, next.outputs)
	if err != nil {
		return nil, err
	}
	timeout, err := timeoutOf(in, operation)
	if err != nil {
		return nil, err
	}
	working, done := context.WithCancel(ctx)
	defer done()
	defer context.AfterFunc(p.ctx, done)()
	return next.outputs, node.apply(working, next.configuration, text(next.outputs, "resolvedApplyMode"), timeout)
}

// resolveMode settles staged_if_needing_reboot by a dry run; without an answer it becomes auto, which may reboot.
func (p *provider) resolveMode(ctx context.Context, urn string, in, old props, next *planned) {
	if resolved := text(old, "resolvedApplyMode"); resolved != "" && text(old, "machineConfiguration") == next.configuration {
		next.outputs["resolvedApplyMode"] = resolved
		return
	}
	next.outputs["resolvedApplyMode"] = "auto"
	if hasUnknown(in[clientKey]) || hasUnknown(in[clientWriteOnlyKey]) {
		return
	}
	node, err := targetOf(in, next.outputs)
	needed := false
	if err == nil {
		needed, err = node.needsReboot(ctx, next.configuration)
	}
	switch {
	case err != nil:
		p.log.warn(ctx, urn, fmt.Sprintf("Cannot check reboot requirement: Node %s: %v. Using 'auto' mode (may reboot).", text(in, "node"), err))
	case needed:
		next.outputs["resolvedApplyMode"] = "staged"
		p.log.warn(ctx, urn, fmt.Sprintf("Reboot prevented - using staged mode: Node %s: Configuration requires reboot. Manually reboot with: talosctl reboot --nodes %s", text(in, "node"), text(in, "node")))
	}
}

// Read tells nothing new: the real provider's is empty too, so that drift of a machine's configuration stays unseen.
func (p *provider) Read(_ context.Context, r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	if len(r.GetProperties().GetFields()) == 0 {
		return nil, notHere("import of " + kindOf(r.Urn))
	}
	return &pulumirpc.ReadResponse{Id: r.Id, Properties: r.Properties, Inputs: r.Inputs}, nil
}

// Delete does nothing on the node, as the real one without onDestroy.reset, which Check refuses.
func (p *provider) Delete(context.Context, *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (p *provider) Invoke(_ context.Context, r *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	calls := map[string]func(props) (props, error){machineCall: machineConfiguration, clientCall: clientConfiguration}
	call, here := calls[r.Tok]
	if !here {
		return nil, notHere(r.Tok)
	}
	out, err := call(r.Args.AsMap())
	if err != nil {
		return nil, err
	}
	answer, err := wire(out)
	return &pulumirpc.InvokeResponse{Return: answer}, err
}
