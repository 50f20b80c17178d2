package boot

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

const (
	partsDir     = "/etc/cri/conf.d"
	mergedConfig = partsDir + "/cri.toml"
)

// mergeParts merges every part of partsDir and what is to be merged beside them, in order of their names, into the file
// that containerd imports; tells whether that file has changed.
func mergeParts(beside map[string][]byte) (bool, error) {
	parts, err := filepath.Glob(partsDir + "/*.part")
	if err != nil {
		return false, err
	}

	texts := maps.Clone(beside)
	if texts == nil {
		texts = map[string][]byte{}
	}

	for _, part := range parts {
		if texts[filepath.Base(part)], err = os.ReadFile(part); err != nil {
			return false, err
		}
	}

	merged, err := MergeTOML(slices.Sorted(maps.Keys(texts)), texts)
	if err != nil {
		return false, err
	}

	before, err := os.ReadFile(mergedConfig)
	if err != nil && !os.IsNotExist(err) {
		return false, err
	}

	return !bytes.Equal(before, merged), os.WriteFile(mergedConfig, merged, 0o600)
}

// MergeTOML merges texts in the order of names: tables by key, arrays one behind the other, scalars the later one
// (as Talos merges the parts of containerd's config, internal/pkg/toml).
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
		case nil:
			into[key] = value
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
			if fmt.Sprintf("%T", old) != fmt.Sprintf("%T", value) {
				return fmt.Errorf("%s is a %T here and a %T there", here, old, value)
			}

			into[key] = value
		}
	}

	return nil
}
