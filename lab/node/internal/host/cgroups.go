package host

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hierarchy is one mounted cgroup hierarchy: a v1 controller, or the unified one.
type hierarchy struct {
	mountpoint string
	kind       string // cgroup or cgroup2
	options    string // v1: the controllers, as mount options
}

// hierarchies lists what this machine mounts below /sys/fs/cgroup.
func hierarchies() ([]hierarchy, error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}

	var found []hierarchy

	for line := range strings.Lines(string(raw)) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		if !ok {
			continue
		}

		left, right := strings.Fields(before), strings.Fields(after)
		if len(left) < 5 || len(right) < 3 || (right[0] != "cgroup" && right[0] != "cgroup2") {
			continue
		}

		var options []string

		if right[0] == "cgroup" {
			for option := range strings.SplitSeq(right[2], ",") {
				if option != "rw" && option != "ro" {
					options = append(options, option)
				}
			}
		}

		found = append(found, hierarchy{mountpoint: left[4], kind: right[0], options: strings.Join(options, ",")})
	}

	return found, nil
}

// joinCgroup moves this process into a cgroup called name in every hierarchy.
func joinCgroup(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}

	for _, h := range all {
		group := filepath.Join(h.mountpoint, name)
		if err := os.MkdirAll(group, 0o755); err != nil {
			return err
		}

		// a v1 cpuset without CPUs and memory nodes takes no process
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if value, err := os.ReadFile(filepath.Join(h.mountpoint, file)); err == nil {
				if err := os.WriteFile(filepath.Join(group, file), value, 0o644); err != nil {
					return err
				}
			}
		}

		if h.kind == "cgroup2" && unified(all) {
			delegate(h.mountpoint)
		}

		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return fmt.Errorf("joining %s: %w", group, err)
		}
	}

	return nil
}

// unified tells a machine with cgroup v2 alone; beside v1 hierarchies a cgroup2 mount has no controllers.
func unified(all []hierarchy) bool { return len(all) == 1 && all[0].kind == "cgroup2" }

// mountCgroups shows the machine's hierarchies below dir, rooted at the node's own cgroup namespace.
func mountCgroups(dir string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}

	if unified(all) {
		top := filepath.Join(dir, "sys/fs/cgroup")
		if err := mount("cgroup2", top, "cgroup2", 0, ""); err != nil {
			return err
		}

		return leaveRootGroup(top)
	}

	if err := mount("tmpfs", filepath.Join(dir, "sys/fs/cgroup"), "tmpfs", 0, "mode=755"); err != nil {
		return err
	}

	for _, h := range all {
		if err := mount(h.kind, filepath.Join(dir, h.mountpoint), h.kind, 0, h.options); err != nil {
			return err
		}
	}

	return nil
}

// leaveRootGroup moves this process, pid 1 to be, into a group of its own: in cgroup v2 a group with processes in it
// cannot hand controllers to its children, and the node's root group is an ordinary one to the kernel.
func leaveRootGroup(top string) error {
	group := filepath.Join(top, "init")
	if err := os.MkdirAll(group, 0o755); err != nil {
		return err
	}

	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return fmt.Errorf("joining %s: %w", group, err)
	}

	delegate(top)

	return nil
}

// delegate hands every controller of the unified hierarchy on to its children.
func delegate(mountpoint string) {
	raw, err := os.ReadFile(filepath.Join(mountpoint, "cgroup.controllers"))
	if err != nil {
		return
	}

	for controller := range strings.FieldsSeq(string(raw)) {
		path := filepath.Join(mountpoint, "cgroup.subtree_control")
		if err := os.WriteFile(path, []byte("+"+controller), 0o644); err != nil {
			fmt.Printf("cgroup v2: %s is not delegated: %v\n", controller, err)
		}
	}
}

// removeCgroups deletes the cgroup called name and all below it, in every hierarchy, within a few seconds:
// a group is busy until the last of its processes has been reaped.
func removeCgroups(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}

	deadline := time.Now().Add(30 * time.Second) // a busy machine reaps late

	for _, h := range all {
		for {
			err := removeTree(filepath.Join(h.mountpoint, name))
			if err == nil {
				break
			}

			if time.Now().After(deadline) {
				return err
			}

			time.Sleep(20 * time.Millisecond)
		}
	}

	return nil
}

func removeTree(top string) error {
	var groups []string

	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}

		return nil
	})
	if err != nil {
		return err
	}

	for i := len(groups) - 1; i >= 0; i-- {
		if err := syscall.Rmdir(groups[i]); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("removing cgroup %s: %w", groups[i], err)
		}
	}

	return nil
}
