package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestVersionIsTheProfiles(t *testing.T) {
	ctx, c := serve(t).dial(t, "talosconfig-reader")

	version, err := c.Version(ctx)
	must(t, err)

	if got := version.Messages[0]; got.Version.Tag != "v1.11.1" || !got.Features.Rbac || got.Platform.Mode != "metal" {
		t.Fatalf("%v", got)
	}
}

func TestAFileIsReadInChunks(t *testing.T) {
	ctx, c := serve(t).dial(t, "talosconfig")
	path, want := filepath.Join(t.TempDir(), "big"), bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	must(t, os.WriteFile(path, want, 0o600))

	stream, err := c.MachineClient.Read(ctx, &machine.ReadRequest{Path: path})
	must(t, err)

	var (
		got      []byte
		messages int
	)

	for {
		data, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}

		must(t, err)

		got, messages = append(got, data.Bytes...), messages+1
	}

	if !bytes.Equal(got, want) || messages < 2 {
		t.Fatalf("%d of %d bytes in %d messages", len(got), len(want), messages)
	}
}

func TestWhatCannotBeReadSaysWhy(t *testing.T) {
	ctx, c := serve(t).dial(t, "talosconfig")

	for path, want := range map[string]error{
		"/no/such":   status.Error(codes.NotFound, "stat /no/such: no such file or directory"),
		os.TempDir(): status.Error(codes.Unknown, "path must be a regular file"),
	} {
		err := read(ctx, c, path)
		if status.Code(err) != status.Code(want) || !strings.Contains(err.Error(), status.Convert(want).Message()) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func read(ctx context.Context, c *client.Client, path string) error {
	reader, err := c.Read(ctx, path)
	if err != nil {
		return err
	}

	_, err = io.ReadAll(reader)

	return err
}

func TestAFolderIsListed(t *testing.T) {
	ctx, c := serve(t).dial(t, "talosconfig-reader")
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "a", "deep", "er"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "b"), []byte("four"), 0o600))
	must(t, os.Symlink("b", filepath.Join(dir, "c")))
	must(t, os.Symlink(dir, dir+".link"))

	for _, one := range []struct {
		in   *machine.ListRequest
		want string
	}{
		{&machine.ListRequest{Root: dir}, ". a b c->b"},
		{&machine.ListRequest{Root: dir + ".link/"}, ". a b c->b"},
		{&machine.ListRequest{Root: dir, Recurse: true}, ". a a/deep a/deep/er b c->b"},
		{&machine.ListRequest{Root: dir, Recurse: true, RecursionDepth: 2}, ". a a/deep b c->b"},
		{&machine.ListRequest{Root: dir, Types: []machine.ListRequest_Type{machine.ListRequest_REGULAR}}, "b"},
		{&machine.ListRequest{Root: dir + "/b"}, "b"},
	} {
		names, err := list(ctx, c, one.in)
		must(t, err)

		if got := strings.Join(names, " "); got != one.want {
			t.Errorf("%v: %s", one.in, got)
		}
	}

	if _, err := list(ctx, c, &machine.ListRequest{Root: "/no/such"}); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("a missing folder: %v", err)
	}
}

func list(ctx context.Context, c *client.Client, in *machine.ListRequest) ([]string, error) {
	stream, err := c.LS(ctx, in)
	if err != nil {
		return nil, err
	}

	var names []string

	for {
		info, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return names, nil
		}

		if err != nil {
			return nil, err
		}

		name := info.RelativeName
		if info.Link != "" {
			name += "->" + info.Link
		}

		names = append(names, name)
	}
}

func TestTheKernelLogIsFollowed(t *testing.T) {
	l := serve(t)
	ctx, c := l.dial(t, "talosconfig-reader")
	l.machine.Say("before")

	stream, err := c.Dmesg(ctx, true, false)
	must(t, err)

	for _, want := range []string{"before", "after"} {
		data, err := stream.Recv()
		must(t, err)

		if !strings.HasSuffix(string(data.Bytes), "[talos] "+want+"\n") {
			t.Fatalf("%q is not %q", data.Bytes, want)
		}

		if want == "before" {
			l.machine.Say("after")
		}
	}
}

func TestALogThatIsNotThere(t *testing.T) {
	ctx, c := serve(t).dial(t, "talosconfig-reader")

	for id, want := range map[string]codes.Code{"no-such-service": codes.NotFound, "../../etc/shadow": codes.InvalidArgument} {
		stream, err := c.Logs(ctx, "system", 0, id, false, -1)
		if err == nil {
			_, err = stream.Recv()
		}

		if status.Code(err) != want {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestRolesDecideWhoMayCallWhat(t *testing.T) {
	l := serve(t)

	for config, allowed := range map[string]map[string]bool{
		"talosconfig-reader":   {"version": true, "services": true, "list": true, "read": false, "apply": false, "reboot": false},
		"talosconfig-operator": {"version": true, "services": true, "list": true, "read": false, "apply": false, "reboot": true},
		"talosconfig":          {"version": true, "services": true, "list": true, "read": true, "apply": true, "reboot": true},
	} {
		ctx, c := l.dial(t, config)
		calls := map[string]func() error{
			"version":  func() error { _, err := c.Version(ctx); return err },
			"services": func() error { _, err := c.ServiceList(ctx); return err },
			"list":     func() error { _, err := list(ctx, c, &machine.ListRequest{Root: l.dir}); return err },
			"read":     func() error { return read(ctx, c, filepath.Join(l.dir, "secrets.yaml")) },
			"reboot":   func() error { return c.Reboot(ctx) },
			"apply": func() error {
				_, err := c.ApplyConfiguration(ctx, &machine.ApplyConfigurationRequest{Data: []byte(l.base), DryRun: true})

				return err
			},
		}

		for name, want := range allowed {
			if err := calls[name](); (status.Code(err) != codes.PermissionDenied) != want || want && err != nil {
				t.Errorf("%s, %s: %v", config, name, err)
			}
		}
	}
}

func TestAStrangersCertificateIsRefused(t *testing.T) {
	ctx, c := serve(t).dial(t, "talosconfig-stranger")

	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()

	if _, err := c.Version(ctx); status.Code(err) != codes.Unavailable && status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("%v", err)
	}
}

func TestAWorkerForwardsToItselfOnly(t *testing.T) {
	ctx, c := serve(t).dial(t, "talosconfig")

	for _, own := range []context.Context{client.WithNode(ctx, "127.0.0.1"), client.WithNodes(ctx, "lab-1")} {
		if _, err := c.Version(own); err != nil {
			t.Errorf("itself: %v", err)
		}
	}

	for _, other := range []context.Context{client.WithNode(ctx, "10.9.9.9"), client.WithNodes(ctx, "127.0.0.1", "10.9.9.9")} {
		_, err := c.Version(other)
		if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "no request forwarding") {
			t.Errorf("another node: %v", err)
		}
	}
}

func TestAMethodThatTheLabLacksIsUnimplemented(t *testing.T) {
	ctx, c := serve(t).dial(t, "talosconfig")

	if _, err := c.Memory(ctx); status.Code(err) != codes.Unimplemented {
		t.Fatalf("%v", err)
	}
}

func TestARebootIsAnsweredAndAskedForOnce(t *testing.T) {
	l := serve(t)
	ctx, c := l.dial(t, "talosconfig-operator")

	for range 2 {
		must(t, c.Reboot(ctx))
	}

	select {
	case <-l.machine.Rebooting():
	case <-time.After(time.Second):
		t.Fatal("no reboot")
	}
}
