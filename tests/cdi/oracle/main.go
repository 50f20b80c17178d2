// Command oracle tells what the official CDI library makes of spec files and folders: the judge of the tests.
//
// It is built against two releases of the library: go.mod has 1.0.1, v1.1.0.mod has 1.1.0. Each line of stdin is a
// command with arguments between tabs, each answer is one line:
//
//	verdict PATH     "ok", or "refused: " and the library's error; a panic is a refusal too, as no device is served then
//	resolve DIR...   JSON: path by device, and the errors by path
//	time COUNT PATH  the mean seconds of COUNT verdicts
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"tags.cncf.io/container-device-interface/pkg/cdi"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		fmt.Fprintln(out, answer(strings.Split(lines.Text(), "\t")))
		if err := out.Flush(); err != nil {
			os.Exit(1)
		}
	}
}

func answer(words []string) string {
	switch {
	case words[0] == "verdict" && len(words) == 2:
		return verdict(words[1])
	case words[0] == "resolve":
		return resolve(words[1:])
	case words[0] == "time" && len(words) == 3:
		return timed(words[1], words[2])
	}
	return "unknown command"
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

func resolve(dirs []string) string {
	found := struct {
		Devices map[string]string   `json:"devices"`
		Errors  map[string][]string `json:"errors"`
	}{map[string]string{}, map[string][]string{}}
	cache, err := cdi.NewCache(cdi.WithAutoRefresh(false), cdi.WithSpecDirs(dirs...))
	if err != nil {
		return refused(err.Error())
	}
	for _, name := range cache.ListDevices() {
		found.Devices[name] = cache.GetDevice(name).GetSpec().GetPath()
	}
	for path, errs := range cache.GetErrors() {
		for _, err := range errs {
			found.Errors[path] = append(found.Errors[path], err.Error())
		}
	}
	text, err := json.Marshal(found)
	if err != nil {
		return refused(err.Error())
	}
	return string(text)
}

func timed(count, path string) string {
	times, err := strconv.Atoi(count)
	if err != nil || times < 1 {
		return refused("no count: " + count)
	}
	start := time.Now()
	for range times {
		verdict(path)
	}
	return strconv.FormatFloat(time.Since(start).Seconds()/float64(times), 'g', -1, 64)
}
