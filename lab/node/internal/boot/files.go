package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/siderolabs/talos/pkg/machinery/config/config"
)

const (
	partsDir          = "/etc/cri/conf.d"
	customizationPart = partsDir + "/20-customization.part"
	mergedConfig      = partsDir + "/cri.toml"
)

// writeFiles writes machine.files as Talos 1.11 does at every boot (v1alpha1_sequencer_tasks.go, WriteUserFiles):
// below /var anything; outside of it only the containerd customization, which may be named once.
func writeFiles(files []config.File) error {
	var seen bool

	for _, file := range files {
		if file.Path() == customizationPart {
			if seen {
				return fmt.Errorf("resource EtcFileSpecs.files.talos.dev(files/cri/conf.d/20-customization.part@undefined) already exists")
			}

			seen = true

			if err := os.WriteFile(customizationPart, []byte(file.Content()), 0o600); err != nil {
				return err
			}

			continue
		}

		if err := writeFile(file); err != nil {
			return err
		}
	}

	return nil
}

func writeFile(file config.File) error {
	path := filepath.Clean(file.Path())
	inVar := path == "/var" || strings.HasPrefix(path, "/var/")

	switch file.Op() {
	case "create":
		if !inVar {
			return fmt.Errorf("create operation not allowed outside of /var: %q", file.Path())
		}
	case "append", "overwrite":
		info, err := os.Stat(path)
		if err != nil {
			return err
		}

		if !info.Mode().IsRegular() {
			return fmt.Errorf("invalid file mode, expected regular file: %q", file.Path())
		}

		if !inVar {
			return fmt.Errorf("the lab's node does not overlay files outside of /var: %q", file.Path())
		}
	default:
		return fmt.Errorf("unknown operation for file %q: %q", file.Path(), file.Op())
	}

	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}

	content := []byte(file.Content())

	if file.Op() == "append" {
		before, err := os.ReadFile(path)
		if err != nil {
			return err
		}

		content = append(before, content...)
	}

	if err := os.WriteFile(path, content, file.Permissions()); err != nil {
		return err
	}

	return os.Chmod(path, file.Permissions())
}

// mergeParts merges every part of partsDir, in order of their names, into the file that containerd imports.
func mergeParts() error {
	parts, err := filepath.Glob(partsDir + "/*.part")
	if err != nil {
		return err
	}

	slices.Sort(parts)

	texts := make(map[string][]byte, len(parts))

	for _, part := range parts {
		if texts[part], err = os.ReadFile(part); err != nil {
			return err
		}
	}

	merged, err := MergeTOML(parts, texts)
	if err != nil {
		return err
	}

	return os.WriteFile(mergedConfig, merged, 0o600)
}

// MergeTOML merges texts in the order of names: tables by key, arrays one behind the other, scalars the later one
// (as Talos's pkg/machinery toml merging does).
func MergeTOML(names []string, texts map[string][]byte) ([]byte, error) {
	merged := map[string]any{"version": int64(3)}

	for _, name := range names {
		part := map[string]any{}
		if err := toml.Unmarshal(texts[name], &part); err != nil {
			return nil, fmt.Errorf("error parsing %s: %w", name, err)
		}

		if err := mergeTable(merged, part, ""); err != nil {
			return nil, fmt.Errorf("error merging %s: %w", name, err)
		}
	}

	return toml.Marshal(merged)
}

func mergeTable(into, more map[string]any, at string) error {
	for key, value := range more {
		here := strings.TrimPrefix(at+"."+key, ".")

		switch old := into[key].(type) {
		case map[string]any:
			table, ok := value.(map[string]any)
			if !ok {
				return fmt.Errorf("%s is a table here and a %T there", here, value)
			}

			if err := mergeTable(old, table, here); err != nil {
				return err
			}
		case []any:
			list, ok := value.([]any)
			if !ok {
				return fmt.Errorf("%s is an array here and a %T there", here, value)
			}

			into[key] = append(old, list...)
		default:
			into[key] = value
		}
	}

	return nil
}
