package boot

import (
	"talos-nvidia-cdi/lab/node/internal/documents"
)

// customizesLive: from 1.14 on containerd's customizations are resources, and a change of them restarts containerd
// (siderolabs/talos CustomizationConfigController; not proven).
func (m *Machine) customizesLive() bool { return m.Profile.Minor() >= documents.Since }

func (m *Machine) mergeCRIConfig() error {
	_, err := mergeParts(m.customizations())

	return err
}

// customizeLive puts the config's customizations in force on the running machine.
func (m *Machine) customizeLive() error {
	changed, err := mergeParts(m.customizations())
	if err == nil && changed {
		m.Say("CRI configuration changed, restarting service cri")
		m.services.restart("cri")
	}

	return err
}

// customizations are those that have no part file: the documents', and under its reserved name the file of v1alpha1.
func (m *Machine) customizations() map[string][]byte {
	later, ok := m.Config().(*documents.Config)
	if !ok {
		return nil
	}

	found := map[string][]byte{}
	for _, one := range later.Customizations {
		found[one.Name] = []byte(one.Content)
	}

	files, err := later.Machine().Files()
	if err != nil {
		m.Say("machine.files: %v", err)
	}

	for _, file := range files {
		if file.Path() == customizationPart {
			found[documents.LegacyName] = []byte(file.Content())

			break
		}
	}

	return found
}
