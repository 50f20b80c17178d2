package api

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talos-nvidia-cdi/lab/node/internal/boot"
)

// followPause is how often a followed log is looked at.
const followPause = 100 * time.Millisecond

// Dmesg streams the kernel log that the node pretends, a message a line.
func (n *Node) Dmesg(in *machine.DmesgRequest, out grpc.ServerStreamingServer[common.Data]) error {
	next := 0
	if in.Tail {
		_, next, _ = n.machine.Dmesg.From(0)
	}

	for {
		lines, after, grown := n.machine.Dmesg.From(next)
		next = after

		for _, line := range lines {
			if err := out.Send(&common.Data{Bytes: []byte(line + "\n")}); err != nil {
				return err
			}
		}

		if !in.Follow {
			return nil
		}

		select {
		case <-grown:
		case <-out.Context().Done():
			return nil
		}
	}
}

// Logs streams a service's log from its beginning or from its last lines, and with follow what comes to it.
func (n *Node) Logs(in *machine.LogsRequest, out grpc.ServerStreamingServer[common.Data]) error {
	if in.Id == "" || strings.Contains(in.Id, "/") {
		return status.Errorf(codes.InvalidArgument, "log %q is not a service's name", in.Id)
	}

	file, err := os.Open(filepath.Clean(boot.LogPath(in.Id)))
	if errors.Is(err, fs.ErrNotExist) {
		return status.Errorf(codes.NotFound, "log %q was not registered", in.Id)
	}

	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck

	if in.TailLines >= 0 {
		if err := seekTail(file, int(in.TailLines)); err != nil {
			return err
		}
	}

	for {
		if err := send(file, out); err != nil {
			return err
		}

		if !in.Follow {
			return nil
		}

		select {
		case <-time.After(followPause):
		case <-out.Context().Done():
			return nil
		}
	}
}

// seekTail moves to the beginning of the last lines.
func seekTail(file io.ReadSeeker, lines int) error {
	text, err := io.ReadAll(file)
	if err != nil {
		return err
	}

	_, err = file.Seek(int64(tailStart(text, lines)), io.SeekStart)

	return err
}

// tailStart is where the last lines of text begin.
func tailStart(text []byte, lines int) int {
	if lines == 0 {
		return len(text)
	}

	start := len(bytes.TrimSuffix(text, []byte("\n")))
	for ; lines > 0 && start >= 0; lines-- {
		start = bytes.LastIndexByte(text[:start], '\n')
	}

	return start + 1
}
