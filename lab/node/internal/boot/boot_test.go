package boot

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"talos-nvidia-cdi/lab/node/internal/spec"
)

var nvidia = spec.Profile{Driver: "535.247.01", Extensions: []spec.Extension{{Name: "nonfree-kmod-nvidia-lts"}}}

func names(loaded []Module) string {
	var found []string
	for _, one := range loaded {
		found = append(found, one.Name)
	}

	return strings.Join(found, " ")
}

func TestAModuleBringsWhatItUses(t *testing.T) {
	loaded, missing := withModules(nil, []string{"nvidia-drm", "nvidia_uvm", "br_netfilter"}, nvidia)

	if names(loaded) != "nvidia nvidia_modeset nvidia_drm nvidia_uvm br_netfilter" || len(missing) != 0 {
		t.Fatalf("%v, missing %v", loaded, missing)
	}

	want := "nvidia 65536 2 nvidia_modeset,nvidia_uvm, Live 0x0000000000000000 (PO)\n"
	if text := procModules(loaded); !strings.HasSuffix(text, want) {
		t.Fatalf("%s", text)
	}
}

func TestAModuleIsNeverUnloaded(t *testing.T) {
	before, _ := withModules(nil, []string{"nvidia"}, nvidia)

	if after, _ := withModules(before, nil, nvidia); names(after) != "nvidia" {
		t.Fatalf("%v", after)
	}
}

func TestAModuleThatTheKernelLacksIsMissing(t *testing.T) {
	for name, profile := range map[string]spec.Profile{
		"nvidai": nvidia, "nvidia_x": nvidia, "nvidia": {Extensions: nvidia.Extensions}, "nvidia_uvm": {Driver: "535.247.01"},
	} {
		if loaded, missing := withModules(nil, []string{name}, profile); len(loaded) != 0 || len(missing) != 1 {
			t.Errorf("%s: %v, missing %v", name, loaded, missing)
		}
	}
}

func patched(t *testing.T, now nodeMetadata, wanted wantedMetadata) (patch struct {
	Metadata struct{ Labels, Annotations map[string]*string }
},
) {
	t.Helper()

	raw, err := patchMetadata(now, wanted)
	if err != nil {
		t.Fatal(err)
	}

	if raw != nil {
		if err := json.Unmarshal(raw, &patch); err != nil {
			t.Fatal(err)
		}
	}

	return patch
}

func said(m map[string]*string) string {
	plain := map[string]string{}

	for key, value := range m {
		plain[key] = "(removed)"
		if value != nil {
			plain[key] = *value
		}
	}

	return strings.TrimPrefix(fmt.Sprint(plain), "map")
}

func TestLabelsAreWrittenOwnedAndRemoved(t *testing.T) {
	const owned = `["a"]`

	for name, one := range map[string]struct {
		now                 nodeMetadata
		wanted              map[string]string
		labels, annotations string
	}{
		"a new one is ours":           {nodeMetadata{}, map[string]string{"a": "1"}, "[a:1]", `[talos.dev/owned-labels:["a"]]`},
		"there already":               {nodeMetadata{map[string]string{"a": "1"}, map[string]string{ownedLabels: owned}}, map[string]string{"a": "1"}, "[]", "[]"},
		"ours has another value":      {nodeMetadata{map[string]string{"a": "0"}, map[string]string{ownedLabels: owned}}, map[string]string{"a": "1"}, "[a:1]", "[]"},
		"another's has another value": {nodeMetadata{map[string]string{"a": "0"}, nil}, map[string]string{"a": "1"}, "[]", "[]"},
		"ours is no longer wanted":    {nodeMetadata{map[string]string{"a": "1", "z": ""}, map[string]string{ownedLabels: owned}}, nil, "[a:(removed)]", "[talos.dev/owned-labels:[]]"},
		"ours was deleted":            {nodeMetadata{nil, map[string]string{ownedLabels: owned}}, map[string]string{"a": "1"}, "[a:1]", "[]"},
		"nothing wanted":              {nodeMetadata{map[string]string{"z": ""}, nil}, nil, "[]", "[]"},
	} {
		patch := patched(t, one.now, wantedMetadata{labels: one.wanted}).Metadata
		if said(patch.Labels) != one.labels || said(patch.Annotations) != one.annotations {
			t.Errorf("%s: labels %s, annotations %s", name, said(patch.Labels), said(patch.Annotations))
		}
	}
}

func TestTheRingForgetsTheOldestAndTellsOfTheNext(t *testing.T) {
	r := NewRing(3)
	for _, line := range []string{"a", "b", "c", "d"} {
		r.WriteLine(line)
	}

	lines, next, grown := r.From(0)
	if strings.Join(lines, "") != "bcd" || next != 4 {
		t.Fatalf("%v, next %d", lines, next)
	}

	r.WriteLine("e")

	select {
	case <-grown:
	case <-time.After(time.Second):
		t.Fatal("nobody was told")
	}

	if lines, _, _ := r.From(next); strings.Join(lines, "") != "e" {
		t.Fatalf("%v", lines)
	}
}

func TestUdevRulesAreALineEach(t *testing.T) {
	if text := udevRules([]string{`KERNEL=="a", MODE="0660"`, "KERNEL==\"b\",\nMODE=\"0666\""}); text != "KERNEL==\"a\", MODE=\"0660\"\nKERNEL==\"b\",\\\nMODE=\"0666\"\n" {
		t.Fatalf("%q", text)
	}
}
