package api

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

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
		return errors.New("path must be a regular file")
	}

	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck

	return send(file, out)
}

func send(from io.Reader, out grpc.ServerStreamingServer[common.Data]) error {
	for {
		buffer := make([]byte, chunk) // the stream may keep what it sends

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

// List streams what lies below a folder, the folder itself first; what can't be looked at is told in-band
// (siderolabs/talos, pkg/archiver/walker.go).
func (n *Node) List(in *machine.ListRequest, out grpc.ServerStreamingServer[machine.FileInfo]) error {
	root := filepath.Clean("/" + in.Root)

	info, err := os.Lstat(root)
	if err != nil {
		return err
	}

	if info.Mode()&fs.ModeSymlink != 0 {
		if root, err = filepath.EvalSymlinks(root); err != nil {
			return err
		}
	}

	depth := int(in.RecursionDepth)

	switch {
	case !in.Recurse:
		depth = 1
	case depth == 0:
		depth = -1
	}

	return filepath.Walk(root, func(path string, info fs.FileInfo, err error) error {
		entry := fileInfo(root, path, info, err)

		if entry.Error == "" && !listed(in.Types, info.Mode()) {
			return nil
		}

		if err := out.Send(entry); err != nil {
			return err
		}

		if info != nil && info.IsDir() && depth >= 0 && path != root && strings.Count(entry.RelativeName, "/")+1 >= depth {
			return fs.SkipDir
		}

		return nil
	})
}

func fileInfo(root, path string, info fs.FileInfo, err error) *machine.FileInfo {
	relative, _ := filepath.Rel(root, path) //nolint:errcheck // path is below root
	entry := &machine.FileInfo{Name: path, RelativeName: relative}

	if err != nil {
		entry.Error = err.Error()

		return entry
	}

	if path == root && !info.IsDir() {
		entry.RelativeName = filepath.Base(path)
	}

	entry.Size, entry.Mode, entry.Modified, entry.IsDir = info.Size(), uint32(info.Mode()), info.ModTime().Unix(), info.IsDir()

	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		entry.Uid, entry.Gid = stat.Uid, stat.Gid
	}

	if info.Mode()&fs.ModeSymlink != 0 {
		if entry.Link, err = os.Readlink(path); err != nil {
			entry.Error = err.Error()
		}
	}

	return entry
}

func listed(types []machine.ListRequest_Type, mode fs.FileMode) bool {
	return len(types) == 0 ||
		mode.IsRegular() && slices.Contains(types, machine.ListRequest_REGULAR) ||
		mode.IsDir() && slices.Contains(types, machine.ListRequest_DIRECTORY) ||
		mode&fs.ModeSymlink != 0 && slices.Contains(types, machine.ListRequest_SYMLINK)
}
