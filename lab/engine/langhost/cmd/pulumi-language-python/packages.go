package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// pluginFile is what a provider's SDK ships as pulumi-plugin.json.
type pluginFile struct {
	Resource         bool   `json:"resource"`
	Name             string `json:"name"`
	Version          string `json:"version"`
	Server           string `json:"server"`
	Parameterization *struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Value   []byte `json:"value"`
	} `json:"parameterization"`
}

// requiredPackages lists the plugins that the installed SDKs ask for, by their pulumi-plugin.json files. Without a
// version in the file the distribution's own counts.
func requiredPackages(sites []string) ([]*pulumirpc.PackageDependency, error) {
	var out []*pulumirpc.PackageDependency
	for _, site := range sites {
		files, _ := filepath.Glob(filepath.Join(site, "*", "pulumi-plugin.json"))
		sort.Strings(files)
		for _, path := range files {
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			var plugin pluginFile
			if err := json.Unmarshal(raw, &plugin); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			if !plugin.Resource {
				continue
			}
			folder := filepath.Base(filepath.Dir(path))
			if plugin.Name == "" {
				plugin.Name = strings.TrimPrefix(strings.ReplaceAll(folder, "_", "-"), "pulumi-")
			}
			if plugin.Version == "" {
				plugin.Version = distributionVersion(site, folder)
			}
			out = append(out, dependencyOf(plugin))
		}
	}
	return out, nil
}

func dependencyOf(plugin pluginFile) *pulumirpc.PackageDependency {
	out := &pulumirpc.PackageDependency{Name: plugin.Name, Kind: "resource", Server: plugin.Server}
	if plugin.Version != "" {
		out.Version = "v" + strings.TrimPrefix(plugin.Version, "v")
	}
	if p := plugin.Parameterization; p != nil {
		out.Parameterization = &pulumirpc.PackageParameterization{Name: p.Name, Version: p.Version, Value: p.Value}
	}
	return out
}

func distributionVersion(site, folder string) string {
	found, _ := filepath.Glob(filepath.Join(site, folder+"-*.dist-info"))
	if len(found) == 0 {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), folder+"-"), ".dist-info")
}

// distribution is one installed Python package.
type distribution struct {
	name, version string
	requires      []string // normalised names
}

var (
	requirement = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*`)
	separators  = regexp.MustCompile(`[-_.]+`)
)

func normalised(name string) string { return strings.ToLower(separators.ReplaceAllString(name, "-")) }

// programDependencies lists the installed distributions; without transitive only those that no other one requires.
func programDependencies(sites []string, transitive bool) ([]*pulumirpc.DependencyInfo, error) {
	var all []distribution
	required := map[string]bool{}
	for _, site := range sites {
		files, _ := filepath.Glob(filepath.Join(site, "*.dist-info", "METADATA"))
		sort.Strings(files)
		for _, path := range files {
			dist, err := readMetadata(path)
			if err != nil {
				return nil, err
			}
			all = append(all, dist)
			for _, name := range dist.requires {
				required[name] = true
			}
		}
	}
	var out []*pulumirpc.DependencyInfo
	for _, dist := range all {
		if transitive || !required[normalised(dist.name)] {
			out = append(out, &pulumirpc.DependencyInfo{Name: dist.name, Version: dist.version})
		}
	}
	return out, nil
}

func readMetadata(path string) (distribution, error) {
	file, err := os.Open(path)
	if err != nil {
		return distribution{}, err
	}
	defer file.Close()
	var out distribution
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && lines.Text() != "" { // the headers end at the first empty line
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "Name":
			out.name = value
		case "Version":
			out.version = value
		case "Requires-Dist":
			if !strings.Contains(value, "extra ==") {
				out.requires = append(out.requires, normalised(requirement.FindString(value)))
			}
		}
	}
	return out, lines.Err()
}
