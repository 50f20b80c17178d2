package api

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talos-nvidia-cdi/lab/node/internal/boot"
)

const chunk = 32 << 10

// Read streams a regular file in chunks.
func (n *Node) Read(in *machine.ReadRequest, out grpc.ServerStreamingServer[common.Data]) error {
	path := boot.Shown(in.Path)

	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return status.Errorf(codes.NotFound, "stat %s: no such file or directory", in.Path)
	}

	if err != nil {
		return err
	}

	if !info.Mode().IsRegular() {
		return status.Errorf(codes.InvalidArgument, "path must be a regular file")
	}

	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck

	return send(file, out)
}

func send(from io.Reader, out grpc.ServerStreamingServer[common.Data]) error {
	buffer := make([]byte, chunk)

	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if err := out.Send(&common.Data{Bytes: buffer[:n]}); err != nil {
				return err
			}
		}

		if errors.Is(err, io.EOF) {
			return nil
		}

		if err != nil {
			return err
		}
	}
}

// List streams what lies below a folder; what can't be read is told in-band, as Talos does.
func (n *Node) List(in *machine.ListRequest, out grpc.ServerStreamingServer[machine.FileInfo]) error {
	root := in.Root
	if root == "" {
		root = "/"
	}

	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		relative, _ := filepath.Rel(root, path) //nolint:errcheck // path is below root
		found := &machine.FileInfo{Name: path, RelativeName: relative}

		if err != nil {
			found.Error = err.Error()

			return out.Send(found)
		}

		info, err := os.Lstat(path)
		if err != nil {
			found.Error = err.Error()

			return out.Send(found)
		}

		found.Size, found.Mode, found.Modified, found.IsDir = info.Size(), uint32(info.Mode()), info.ModTime().Unix(), info.IsDir()
		found.Link, _ = os.Readlink(path) //nolint:errcheck // empty where it is no link

		if err := out.Send(found); err != nil {
			return err
		}

		depth := int32(strings.Count(relative, "/") + 1)
		if entry.IsDir() && relative != "." && (!in.Recurse || (in.RecursionDepth > 0 && depth >= in.RecursionDepth)) {
			return fs.SkipDir
		}

		return nil
	})
}

// Dmesg streams the kernel log that the node pretends.
func (n *Node) Dmesg(in *machine.DmesgRequest, out grpc.ServerStreamingServer[common.Data]) error {
	if in.Follow {
		return status.Error(codes.Unimplemented, "the lab's node does not follow its kernel log")
	}

	for _, line := range n.machine.Dmesg.Lines() {
		if err := out.Send(&common.Data{Bytes: []byte(line + "\n")}); err != nil {
			return err
		}
	}

	return nil
}

// Logs streams a service's log, or its last lines.
func (n *Node) Logs(in *machine.LogsRequest, out grpc.ServerStreamingServer[common.Data]) error {
	if in.Follow {
		return status.Error(codes.Unimplemented, "the lab's node does not follow logs")
	}

	raw, err := os.ReadFile(boot.LogPath(filepath.Base(in.Id)))
	if errors.Is(err, fs.ErrNotExist) {
		return status.Errorf(codes.NotFound, "log %q was not registered", in.Id)
	}

	if err != nil {
		return err
	}

	lines := strings.SplitAfter(strings.TrimSuffix(string(raw), "\n"), "\n")
	if in.TailLines >= 0 && int(in.TailLines) < len(lines) {
		lines = lines[len(lines)-int(in.TailLines):]
	}

	return send(strings.NewReader(strings.Join(lines, "")+"\n"), out)
}
