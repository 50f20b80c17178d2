package boot_test

import (
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"talos-nvidia-cdi/lab/node/internal/boot"
)

func TestPartsAreMergedAndArraysConcatenated(t *testing.T) {
	merged, err := boot.MergeTOML([]string{"10", "20"}, map[string][]byte{
		"10": []byte("[plugins.cri]\ncdi_spec_dirs = [\"/run/cdi\"]\n[plugins.cri.runtimes.nvidia]\nx = 1\n"),
		"20": []byte("[plugins.cri]\ncdi_spec_dirs = [\"/etc/cdi\", \"/var/run/cdi\"]\n[plugins.cri.runtimes.nvidia-cdi]\nx = 2\n"),
	})
	if err != nil {
		t.Fatal(err)
	}

	var got struct {
		Plugins struct {
			CRI struct {
				Dirs     []string                  `toml:"cdi_spec_dirs"`
				Runtimes map[string]map[string]int `toml:"runtimes"`
			} `toml:"cri"`
		} `toml:"plugins"`
	}
	if err := toml.Unmarshal(merged, &got); err != nil {
		t.Fatal(err)
	}

	if strings.Join(got.Plugins.CRI.Dirs, " ") != "/run/cdi /etc/cdi /var/run/cdi" || len(got.Plugins.CRI.Runtimes) != 2 {
		t.Fatalf("%s", merged)
	}
}

func TestBrokenTOMLAndClashingTypesNameTheirPart(t *testing.T) {
	for want, part := range map[string]string{
		"error parsing 20": "[plugins",
		"error merging 20": "plugins = 1",
	} {
		_, err := boot.MergeTOML([]string{"10", "20"}, map[string][]byte{"10": []byte("[plugins]\n"), "20": []byte(part)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", part, err)
		}
	}
}
