package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"golang.org/x/sys/unix"
)

const customizationPart = partsDir + "/20-customization.part"

// writeFiles writes machine.files as Talos 1.11 does at every boot (v1alpha1_sequencer_tasks.go, WriteUserFiles).
// The containerd customization is a resource of its own there, which can be created once.
func writeFiles(files []config.File) error {
	var (
		seen   bool
		failed []error
	)

	for _, file := range files {
		if file.Path() != customizationPart {
			failed = append(failed, writeFile(file))

			continue
		}

		if seen {
			return errors.New("resource EtcFileSpecs.files.talos.dev(files/cri/conf.d/20-customization.part@undefined) already exists")
		}

		seen = true

		if err := os.WriteFile(customizationPart, []byte(file.Content()), 0o600); err != nil {
			return err
		}
	}

	return errors.Join(failed...)
}

// writeFile: `create` works below /var only; `append` and `overwrite` want a regular file, and outside of /var they put a
// changed copy of it below /var and mount that over the file, read-only.
func writeFile(file config.File) error {
	path := filepath.Clean(file.Path())
	target, inVar := path, path == "/var" || strings.HasPrefix(path, "/var/")
	content := []byte(file.Content())

	switch file.Op() {
	case "create":
		if !inVar {
			return fmt.Errorf("create operation not allowed outside of /var: %q", file.Path())
		}
	case "append", "overwrite":
		before, err := regularFile(path)
		if err != nil {
			return err
		}

		if file.Op() == "append" {
			content = append(before, content...)
		}

		if !inVar {
			target = filepath.Join("/var", path)
		}
	default:
		return fmt.Errorf("unknown operation for file %q: %q", file.Path(), file.Op())
	}

	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}

	if err := os.WriteFile(target, content, file.Permissions()); err != nil {
		return err
	}

	// the mode of a file that was there before
	if err := os.Chmod(target, file.Permissions()); err != nil {
		return err
	}

	if target == path {
		return nil
	}

	return showReadOnly(target, path)
}

func regularFile(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}

	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("invalid file mode, expected regular file: %q", path)
	}

	return os.ReadFile(path)
}

func showReadOnly(source, path string) error {
	if err := unix.Mount(source, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting %s over %s: %w", source, path, err)
	}

	return unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}
