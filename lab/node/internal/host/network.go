package host

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"

	"talos-nvidia-cdi/lab/node/internal/spec"
)

func command(words ...string) error {
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("`%s`: %s: %w", strings.Join(words, " "), strings.TrimSpace(string(out)), err)
	}

	return nil
}

// linkName is the host side of the node's veth pair; interface names hold 15 characters.
func linkName(node spec.Node) string {
	sum := fnv.New32a()
	sum.Write([]byte(node.Cgroup)) //nolint:errcheck // a hash never fails

	return fmt.Sprintf("tln-%08x", sum.Sum32())
}

// hardwareAddress is the node's in Ethernet: a machine keeps its own, and nobody's memory of it is wrong after a restart.
func hardwareAddress(node spec.Node) (string, error) {
	address, err := netip.ParseAddr(node.Address)
	if err != nil {
		return "", fmt.Errorf("the node's address: %w", err)
	}

	octets := address.As4()

	return net.HardwareAddr{0x02, 0x00, octets[0], octets[1], octets[2], octets[3]}.String(), nil
}

// connect joins the network namespace of process pid to the lab's bridge and routes its pods.
func connect(node spec.Node, pid int) error {
	link, inside := linkName(node), []string{"nsenter", "-t", strconv.Itoa(pid), "-n", "ip"}
	address := fmt.Sprintf("%s/%d", node.Address, node.PrefixLen)

	hardware, err := hardwareAddress(node)
	if err != nil {
		return err
	}

	for _, words := range [][]string{
		{"ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "address", hardware, "netns", strconv.Itoa(pid)},
		{"ip", "link", "set", link, "master", node.Bridge},
		{"ip", "link", "set", link, "up"},
		append(inside, "addr", "add", address, "dev", "eth0"),
		append(inside, "link", "set", "eth0", "up"),
		append(inside, "link", "set", "lo", "up"),
		append(inside, "route", "add", "default", "via", node.Gateway),
		{"ip", "route", "replace", node.PodCIDR, "via", node.Address, "dev", node.Bridge},
	} {
		if err := command(words...); err != nil {
			return err
		}
	}

	return nil
}

// disconnect removes the node's route and its veth pair, whatever of them is there.
func disconnect(node spec.Node) error {
	var failed []error

	if routes, err := exec.Command("ip", "route", "show", node.PodCIDR).Output(); err == nil && len(routes) > 0 {
		failed = append(failed, command("ip", "route", "del", node.PodCIDR))
	}

	if linked(node) {
		// the kernel takes the pair away by itself, some time after the node's network namespace has ended
		if err := command("ip", "link", "del", linkName(node)); err != nil && linked(node) {
			failed = append(failed, err)
		}
	}

	return errors.Join(failed...)
}

// linked tells whether the host's end of the node's veth pair is there.
func linked(node spec.Node) bool {
	return exec.Command("ip", "link", "show", linkName(node)).Run() == nil
}
