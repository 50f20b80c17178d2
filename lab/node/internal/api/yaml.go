package api

import (
	"bytes"

	"gopkg.in/yaml.v3"
)

// sameYAML compares two parts of a machine config as they would be written: nil and empty are the same.
func sameYAML(a, b any) bool {
	x, errX := yaml.Marshal(a)
	y, errY := yaml.Marshal(b)

	return errX == nil && errY == nil && bytes.Equal(x, y)
}
