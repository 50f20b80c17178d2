// Package spec is what the lab tells a node: where it sits, and the facts that it pretends.
package spec

import (
	"encoding/json"
	"fmt"
	"os"
)

// Paths inside the node.
const (
	// NodeFile holds the Node, ProfileFile the Profile, BootIDFile this boot's id; IdentityDir the machine API's keys.
	NodeFile    = "/system/node.json"
	ProfileFile = "/system/profile.json"
	BootIDFile  = "/system/boot_id"
	IdentityDir = "/system/api"
	// StateDir is the STATE partition; ConfigName in it is the machine config that the next boot puts in force.
	StateDir   = "/system/state"
	ConfigName = "config.yaml"
)

// RebootExit is the exit status by which pid 1 asks for another boot.
const RebootExit = 64

// Node is one node's place in the lab (node.json).
type Node struct {
	Name      string   `json:"name"`
	Address   string   `json:"address"`
	PrefixLen int      `json:"prefix_len"`
	Gateway   string   `json:"gateway"`
	Bridge    string   `json:"bridge"`
	PodCIDR   string   `json:"pod_cidr"`
	Layers    []string `json:"layers"`
	StateDir  string   `json:"state_dir"`
	RunDir    string   `json:"run_dir"`
	Profile   string   `json:"profile"`
	Secrets   string   `json:"secrets"`
	APIServer string   `json:"apiserver"`
	ServiceIP string   `json:"service_ip"`
	Cgroup    string   `json:"cgroup"`
}

// GPU is the pretended device.
type GPU struct {
	Model     string `json:"model"`
	UUID      string `json:"uuid"`
	PCI       string `json:"pci"`
	MemoryMiB int    `json:"memory_mib"`
}

// Extension is a Talos system extension that the node claims to have.
type Extension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Profile is the facts that a node pretends; read at every boot.
type Profile struct {
	Talos      string            `json:"talos"`
	Kernel     string            `json:"kernel"`
	Driver     string            `json:"driver"`
	Toolkit    string            `json:"toolkit"`
	GPU        GPU               `json:"gpu"`
	Extensions []Extension       `json:"extensions"`
	Majors     map[string]uint32 `json:"majors"`
	Sysctls    map[string]int    `json:"sysctls"`
	// BootDelay is how long the firmware takes, in seconds: nothing answers before.
	BootDelay float64 `json:"boot_delay_s"`
	// BootID is the id of every boot, if set: a fault, no two boots of a kernel have the same.
	BootID string `json:"boot_id"`
	// CDIService: the extension's service writes the CDI spec at every boot (Talos 1.13 and later).
	CDIService bool `json:"cdi_service"`
	// CertificateExpired: the machine API's certificate is past its time: a fault.
	CertificateExpired bool `json:"certificate_expired"`
}

// Load reads a JSON file into a value of type T.
func Load[T any](path string) (T, error) {
	var value T

	raw, err := os.ReadFile(path)
	if err != nil {
		return value, err
	}

	if err := json.Unmarshal(raw, &value); err != nil {
		return value, fmt.Errorf("%s: %w", path, err)
	}

	return value, nil
}

// Minor is the minor number of the release that is pretended: 11 of v1.11.1.
func (p Profile) Minor() int {
	var major, minor int

	if _, err := fmt.Sscanf(p.Talos, "v%d.%d.", &major, &minor); err != nil {
		panic(fmt.Sprintf("the profile's talos %q is no v1.N.M", p.Talos))
	}

	return minor
}
