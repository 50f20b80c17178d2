//go:build talos113

// Package machinery is what differs between the two releases of Talos's machinery that the node is built with: go.mod has
// 1.11.6, talos-1.13.mod (tag talos113) has 1.13.9.
package machinery

import (
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configdiff"
)

// Diff tells how two configs differ; either may be nil.
func Diff(before, after config.Encoder) (string, error) { return configdiff.DiffConfigs(before, after) }

// RBAC tells whether the machine API looks at roles: from 1.12 on always.
func RBAC(config.Provider) bool { return true }
