package boot

import (
	"os"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/constants"

	"talos-nvidia-cdi/lab/node/internal/documents"
)

// writeUdevRules writes machine.udev.rules, or those of 1.14's document, where Talos 1.11 does at every boot
// (v1alpha1_sequencer_tasks.go, WriteUdevRules). No udev reads them here.
func (m *Machine) writeUdevRules() error {
	rules := m.Config().Machine().Udev().Rules()
	if later, ok := m.Config().(*documents.Config); ok && later.UdevRules != nil {
		rules = later.UdevRules
	}

	return os.WriteFile(constants.UdevRulesPath, []byte(udevRules(rules)), 0o644)
}

// udevRules is the file's text: a rule a line.
func udevRules(rules []string) string {
	var text strings.Builder

	for _, rule := range rules {
		text.WriteString(strings.ReplaceAll(rule, "\n", "\\\n"))
		text.WriteByte('\n')
	}

	return text.String()
}
