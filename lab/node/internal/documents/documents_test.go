package documents_test

import (
	"slices"
	"strings"
	"testing"

	"talos-nvidia-cdi/lab/node/internal/documents"
)

const (
	base = "version: v1alpha1\nmachine:\n    type: worker\n    kernel:\n        modules:\n            - name: btrfs\n"
	more = base + `---
apiVersion: v1alpha1
kind: KernelModuleConfig
name: nvidia
---
apiVersion: v1alpha1
kind: UdevRulesConfig
rules:
    - SUBSYSTEM=="drm", GROUP="44"
---
apiVersion: v1alpha1
kind: CRICustomizationConfig
name: metrics
content: |
    [metrics]
`
)

func TestDocumentsOf114AreReadBesideTheOthers(t *testing.T) {
	provider, err := documents.Load([]byte(more), 14)
	if err != nil {
		t.Fatal(err)
	}

	found := provider.(*documents.Config)
	if !slices.Equal(found.Modules, []string{"nvidia"}) || len(found.UdevRules) != 1 || len(found.Customizations) != 1 {
		t.Fatalf("%+v", found)
	}

	if modules := found.Machine().Kernel().Modules(); len(modules) != 1 || modules[0].Name() != "btrfs" {
		t.Fatalf("%v", modules)
	}

	if raw, _ := found.Bytes(); string(raw) != more { //nolint:errcheck
		t.Fatalf("%s", raw)
	}
}

func TestWhatIsWrongWithADocumentIsSaid(t *testing.T) {
	for wrong, rule := range map[string]string{
		"name: ''":                            "name is required",
		"name: nvidia\nwhat: 1":               "field what not found",
		"name: nvidia\n---\n" + doc("nvidia"): "duplicate document: KernelModuleConfig/nvidia",
		"name: nvidia\n---\napiVersion: v1alpha1\nkind: CRICustomizationConfig\nname: customization\ncontent: ''": "is reserved",
		"name: nvidia\n---\napiVersion: v1alpha1\nkind: NoSuchConfig":                                             "NoSuchConfig",
	} {
		_, err := documents.Load([]byte(base+"---\napiVersion: v1alpha1\nkind: KernelModuleConfig\n"+wrong+"\n"), 14)
		if err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// TestAnEarlierReleaseRefusesThem is why the documents have to go before a node goes back to 1.13.
func TestAnEarlierReleaseRefusesThem(t *testing.T) {
	if _, err := documents.Load([]byte(more), 13); err == nil || !strings.Contains(err.Error(), "KernelModuleConfig") {
		t.Fatal(err)
	}

	if _, err := documents.Load([]byte(base), 13); err != nil {
		t.Fatal(err)
	}
}

func doc(module string) string {
	return "apiVersion: v1alpha1\nkind: KernelModuleConfig\nname: " + module
}
