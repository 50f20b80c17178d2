package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// environment is the Python installation of a program.
type environment struct {
	python string // the interpreter
	root   string // the virtual environment's folder
}

// environmentOf reads options.virtualenv (relative to the project), else options.toolchain: uv (`.venv`), else takes the
// virtual environment of the python3 on PATH.
func environmentOf(info *pulumirpc.ProgramInfo) (environment, error) {
	options := info.GetOptions().AsMap()
	venv, _ := options["virtualenv"].(string)
	if toolchain, _ := options["toolchain"].(string); venv == "" && toolchain == "uv" {
		venv = ".venv"
	}
	if venv == "" {
		python, err := exec.LookPath("python3")
		if err != nil {
			return environment{}, fmt.Errorf("Pulumi.yaml names no virtual environment (runtime.options.virtualenv) and no python3 is on PATH")
		}
		return environment{python: python, root: filepath.Dir(filepath.Dir(python))}, nil
	}
	if !filepath.IsAbs(venv) {
		venv = filepath.Join(info.GetRootDirectory(), venv)
	}
	python := filepath.Join(venv, "bin", "python")
	if _, err := os.Stat(python); err != nil {
		return environment{}, fmt.Errorf("the virtual environment that Pulumi.yaml names has no interpreter: %w", err)
	}
	return environment{python: python, root: venv}, nil
}

// version of the interpreter as pyvenv.cfg has it; empty when the file does not say.
func (e environment) version() string {
	file, err := os.Open(filepath.Join(e.root, "pyvenv.cfg"))
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		switch strings.TrimSpace(key) {
		case "version", "version_info":
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// sitePackages are the folders that hold the environment's distributions.
func (e environment) sitePackages() []string {
	found, _ := filepath.Glob(filepath.Join(e.root, "lib", "python3*", "site-packages")) // the pattern is well formed
	debian, _ := filepath.Glob(filepath.Join(e.root, "lib", "python3*", "dist-packages"))
	return append(found, debian...)
}
