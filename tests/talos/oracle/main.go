// Command oracle tells what Talos itself makes of machine configs: the judge of the rendered ones.
//
// It reads one JSON question a line and prints one JSON answer a line. It is built against Talos's machinery of two
// releases: go.mod has 1.11.6, talos-1.13.mod has 1.13.9.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/constants"
)

type question struct {
	Ask string `json:"ask"`
	// Config is judged; for "immediate" it is the running one, for "patch" the one to be patched.
	Config  string   `json:"config"`
	Next    string   `json:"next"`
	Patches []string `json:"patches"`
	// Contract and Type are of the config to generate: "1.11", "worker".
	Contract string   `json:"contract"`
	Type     string   `json:"type"`
	Parts    []string `json:"parts"`
}

type module struct {
	Name       string   `json:"name"`
	Parameters []string `json:"parameters"`
}

type file struct {
	Path        string `json:"path"`
	Content     string `json:"content"`
	Permissions uint32 `json:"permissions"`
	Op          string `json:"op"`
}

type answer struct {
	Error    string            `json:"error"`
	Warnings []string          `json:"warnings"`
	Config   string            `json:"config"`
	Modules  []module          `json:"modules"`
	Rules    []string          `json:"rules"`
	Labels   map[string]string `json:"labels"`
	Sysctls  map[string]string `json:"sysctls"`
	Files    []file            `json:"files"`
	Kinds    []string          `json:"kinds"`
	// Rest is the v1alpha1 document without what is told above, written by Talos.
	Rest   string         `json:"rest"`
	Merged map[string]any `json:"merged"`
	// Live are the YAML names of the fields that a running machine takes, by where they stand.
	Live map[string][]string `json:"live"`
}

// metal is the runtime mode of a machine with a disk.
type metal struct{}

func (metal) String() string        { return "metal" }
func (metal) RequiresInstall() bool { return true }
func (metal) InContainer() bool     { return false }

func main() {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)

	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}

		encoded, err := json.Marshal(replyTo(line))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}

		if _, err := out.Write(append(encoded, '\n')); err != nil || out.Flush() != nil {
			os.Exit(1)
		}
	}
}

func replyTo(line []byte) (said answer) {
	defer func() {
		if cause := recover(); cause != nil {
			said = answer{Error: fmt.Sprintf("panic: %v", cause)}
		}
	}()

	var q question
	if err := json.Unmarshal(line, &q); err != nil {
		return answer{Error: err.Error()}
	}

	said, err := reply(q)
	if err != nil {
		said.Error = err.Error()
	}

	return said
}

func reply(q question) (answer, error) {
	switch q.Ask {
	case "generate":
		text, err := generated(q.Contract, q.Type)

		return answer{Config: string(text)}, err
	case "inspect":
		return inspected([]byte(q.Config))
	case "patch":
		return patched(q)
	case "immediate":
		return answer{}, immediate(q.Config, q.Next)
	case "live":
		return answer{Live: liveNames()}, nil
	case "toml":
		return merged(q.Parts)
	default:
		return answer{}, fmt.Errorf("unknown question %q", q.Ask)
	}
}

func generated(contractText, kind string) ([]byte, error) {
	contract, err := config.ParseContractFromVersion("v" + contractText)
	if err != nil {
		return nil, err
	}

	machineType, err := machine.ParseType(kind)
	if err != nil {
		return nil, err
	}

	bundle, err := secrets.NewBundle(secrets.NewClock(), contract)
	if err != nil {
		return nil, err
	}

	in, err := generate.NewInput("oracle", "https://192.0.2.1:6443", constants.DefaultKubernetesVersion,
		generate.WithSecretsBundle(bundle),
		generate.WithVersionContract(contract),
		generate.WithInstallDisk("/dev/sda"),
	)
	if err != nil {
		return nil, err
	}

	provider, err := in.Config(machineType)
	if err != nil {
		return nil, err
	}

	return provider.Bytes()
}

func inspected(text []byte) (answer, error) {
	provider, err := configloader.NewFromBytes(text)
	if err != nil {
		return answer{}, fmt.Errorf("load: %w", err)
	}

	said := answer{}

	for _, document := range provider.Documents() {
		said.Kinds = append(said.Kinds, document.Kind())
	}

	if said.Warnings, err = provider.Validate(metal{}); err != nil {
		return said, fmt.Errorf("validate: %w", err)
	}

	raw := provider.RawV1Alpha1()
	if raw == nil || raw.MachineConfig == nil {
		return said, errors.New("no v1alpha1 machine config")
	}

	return said, told(&said, raw.DeepCopy())
}

// told moves what may grow from the document into said, and the document's rest after it.
func told(said *answer, document *v1alpha1.Config) error {
	m := document.MachineConfig
	said.Labels, said.Sysctls = m.MachineNodeLabels, m.MachineSysctls
	m.MachineNodeLabels, m.MachineSysctls = nil, nil

	if m.MachineKernel != nil {
		for _, entry := range m.MachineKernel.KernelModules {
			said.Modules = append(said.Modules, module{entry.ModuleName, entry.ModuleParameters})
		}

		m.MachineKernel.KernelModules = nil
		if reflect.ValueOf(*m.MachineKernel).IsZero() {
			m.MachineKernel = nil
		}
	}

	if m.MachineUdev != nil {
		said.Rules = m.MachineUdev.UdevRules
		m.MachineUdev = nil
	}

	for _, entry := range m.MachineFiles {
		said.Files = append(said.Files,
			file{entry.FilePath, entry.FileContent, uint32(entry.FilePermissions), entry.FileOp})
	}

	m.MachineFiles = nil

	rest, err := container.NewV1Alpha1(document).EncodeBytes(encoder.WithComments(encoder.CommentsDisabled))
	said.Rest = string(rest)

	return err
}

func patched(q question) (answer, error) {
	patches, err := configpatcher.LoadPatches(q.Patches)
	if err != nil {
		return answer{}, err
	}

	out, err := configpatcher.Apply(configpatcher.WithBytes([]byte(q.Config)), patches)
	if err != nil {
		return answer{}, err
	}

	text, err := out.Bytes()

	return answer{Config: string(text)}, err
}

func immediate(running, next string) error {
	before, err := configloader.NewFromBytes([]byte(running))
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}

	after, err := configloader.NewFromBytes([]byte(next))
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}

	return canApplyImmediate(before.RawV1Alpha1(), after.RawV1Alpha1().DeepCopy())
}

// merged merges containerd's parts as Talos does: tables by key, arrays one behind the other, else the later value.
func merged(parts []string) (answer, error) {
	into := map[string]any{}

	for number, part := range parts {
		tables := map[string]any{}
		if err := toml.Unmarshal([]byte(part), &tables); err != nil {
			return answer{}, fmt.Errorf("part %d: %s", number, strings.TrimSpace(err.Error()))
		}

		if err := lay(into, tables); err != nil {
			return answer{}, fmt.Errorf("part %d: %w", number, err)
		}
	}

	return answer{Merged: into}, nil
}

func lay(into, tables map[string]any) error {
	for key, value := range tables {
		present, known := into[key]
		if known && reflect.TypeOf(present) != reflect.TypeOf(value) {
			return fmt.Errorf("%s is a %T here and a %T there", key, present, value)
		}

		switch old := present.(type) {
		case map[string]any:
			if err := lay(old, value.(map[string]any)); err != nil {
				return err
			}
		case []any:
			into[key] = append(old, value.([]any)...)
		default:
			into[key] = value
		}
	}

	return nil
}
