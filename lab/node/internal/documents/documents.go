// Package documents reads the kinds of config documents that came with Talos 1.14, which no machinery at hand knows.
//
// Not proven: written after siderolabs/talos pkg/machinery/config/types/runtime (kernel_module.go, udev_rules.go),
// types/cri/customization.go and container/container.go as they were before 1.14. All other documents are the
// machinery's, whichever the node was built with.
package documents

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"gopkg.in/yaml.v3"
)

// Since is the minor release that has these documents.
const Since = 14

// LegacyName is reserved for the entry of machine.files.
const LegacyName = "customization"

// Customization is a fragment of containerd's config.
type Customization struct{ Name, Content string }

// Config is a machine config with such documents in it; Bytes are as they came.
type Config struct {
	config.Provider

	// Modules are the kernel modules of the documents alone, UdevRules those of the document: nil without one.
	Modules        []string
	UdevRules      []string
	Customizations []Customization

	raw []byte
}

// Bytes are the config as it was given.
func (c *Config) Bytes() ([]byte, error) { return c.raw, nil }

// EncodeBytes is the config as it was given: a diff shows every document.
func (c *Config) EncodeBytes(...encoder.Option) ([]byte, error) { return c.raw, nil }

// Clone returns the config itself: nothing changes it.
func (c *Config) Clone() config.Provider { return c }

// Readonly tells that nothing changes it.
func (c *Config) Readonly() bool { return true }

// Load reads a machine config as the minor release does; one before 1.14 refuses these documents as unknown kinds.
func Load(raw []byte, minor int) (config.Provider, error) {
	if minor < Since {
		return configloader.NewFromBytes(raw)
	}

	found := &Config{raw: raw}
	seen := map[string]bool{}

	var others bytes.Buffer

	for decoder := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var node yaml.Node

		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			break
		}

		if err != nil {
			return nil, err
		}

		text, err := yaml.Marshal(&node)
		if err != nil {
			return nil, err
		}

		id, err := found.take(&node, text)
		if err != nil {
			return nil, err
		}

		if id == "" {
			others.WriteString("---\n")
			others.Write(text)

			continue
		}

		if seen[id] {
			return nil, fmt.Errorf("duplicate document: %s", id)
		}

		seen[id] = true
	}

	var err error
	found.Provider, err = configloader.NewFromBytes(others.Bytes())

	return found, err
}

type header struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
}

type kernelModule struct {
	header     `yaml:",inline"`
	Name       string   `yaml:"name"`
	Parameters []string `yaml:"parameters"`
}

type udevRules struct {
	header `yaml:",inline"`
	Rules  []string `yaml:"rules"`
}

type customization struct {
	header  `yaml:",inline"`
	Name    string `yaml:"name"`
	Content string `yaml:"content"`
}

// take reads one document; its id is "" if it is none of these kinds.
func (c *Config) take(node *yaml.Node, text []byte) (id string, err error) {
	var head header
	if node.Decode(&head) != nil || head.APIVersion != "v1alpha1" {
		return "", nil
	}

	switch head.Kind {
	case "KernelModuleConfig":
		var one kernelModule
		if err := strictly(text, &one); err != nil {
			return "", err
		}

		if one.Name == "" {
			return "", errors.New("KernelModuleConfig: name is required")
		}

		c.Modules = append(c.Modules, one.Name)

		return head.Kind + "/" + one.Name, nil
	case "UdevRulesConfig":
		var one udevRules
		if err := strictly(text, &one); err != nil {
			return "", err
		}

		c.UdevRules = append([]string{}, one.Rules...)

		return head.Kind + "/", nil
	case "CRICustomizationConfig":
		var one customization
		if err := strictly(text, &one); err != nil {
			return "", err
		}

		if one.Name == "" || one.Name == LegacyName {
			return "", fmt.Errorf("CRICustomizationConfig: name %q is reserved for the legacy CRI customization, or empty", one.Name)
		}

		c.Customizations = append(c.Customizations, Customization{one.Name, one.Content})

		return head.Kind + "/" + one.Name, nil
	default:
		return "", nil
	}
}

func strictly(text []byte, into any) error {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)

	return decoder.Decode(into)
}
