// Command oracle tells what the official CDI library makes of spec files: the judge of the differential test.
//
// It reads paths from stdin, one a line, and prints one line a path: "ok", or "refused: " and the library's error on one
// line. A panic of the library is a refusal too: containerd would not serve the device.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		fmt.Fprintln(out, verdict(lines.Text()))
		if err := out.Flush(); err != nil {
			os.Exit(1)
		}
	}
}

func verdict(path string) (answer string) {
	defer func() {
		if cause := recover(); cause != nil {
			answer = refused(fmt.Sprintf("panic: %v", cause))
		}
	}()
	if _, err := cdi.ReadSpec(path, 0); err != nil {
		return refused(err.Error())
	}
	return "ok"
}

func refused(reason string) string {
	return "refused: " + strings.Join(strings.Fields(reason), " ")
}
