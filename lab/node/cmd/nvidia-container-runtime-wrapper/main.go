// Command nvidia-container-runtime-wrapper is the lab's stand-in for the program of that name in the Talos extension
// nvidia-container-toolkit, releases 1.8 to 1.12: it dispatches on its own name, knows six, and execs NAME.real.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

var known = []string{
	"nvidia-container-runtime",
	"nvidia-container-runtime-hook",
	"nvidia-container-runtime.cdi",
	"nvidia-container-runtime.legacy",
	"nvidia-container-toolkit",
	"nvidia-ctk",
}

func main() {
	name := filepath.Base(os.Args[0])
	if !slices.Contains(known, name) {
		fail("unknown command %s", name)
	}

	target := "/usr/local/bin/" + name + ".real"
	args := append([]string{target}, os.Args[1:]...)

	if name == "nvidia-container-runtime-hook" {
		args = append([]string{target, "-config", "/usr/local/etc/nvidia-container-runtime/config.toml"}, os.Args[1:]...)
	}

	err := syscall.Exec(target, args, append(os.Environ(), "XDG_CONFIG_HOME=/usr/local/etc"))
	fail("exec %s: %v", target, err)
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "nvidia-container-runtime-wrapper: "+format+"\n", args...)
	os.Exit(1)
}
