package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/siderolabs/crypto/x509"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	defaultTimeout = 10 * time.Minute
	// firstPause and longestPause are those of terraform-plugin-sdk's retry.RetryContext.
	firstPause, longestPause = 500 * time.Millisecond, 10 * time.Second
)

// target is one node's API and the credentials for it.
type target struct {
	endpoint, node string
	config         *clientconfig.Config
}

// targetOf reads the inputs; the write-only credentials win.
func targetOf(in, out props) (target, error) {
	credentials := child(in, clientWriteOnlyKey)
	if credentials == nil {
		credentials = child(in, clientKey)
	}
	config, err := talosConfig("dynamic", nil, nil, credentials)
	return target{endpoint: text(out, "endpoint"), node: text(out, "node"), config: config}, err
}

// talosConfig is a talosconfig with one context; the credentials' values are base64 of PEM.
func talosConfig(name string, endpoints, nodes []string, credentials props) (*clientconfig.Config, error) {
	decoded := map[string][]byte{}
	for _, key := range []string{"caCertificate", "clientCertificate", "clientKey"} {
		raw, err := base64.StdEncoding.DecodeString(text(credentials, key))
		if err != nil {
			return nil, fmt.Errorf("client configuration: %s: %w", key, err)
		}
		if len(raw) == 0 {
			return nil, fmt.Errorf("client configuration: %s is missing", key)
		}
		decoded[key] = raw
	}
	config := clientconfig.NewConfig(name, endpoints, decoded["caCertificate"],
		&x509.PEMEncodedCertificateAndKey{Crt: decoded["clientCertificate"], Key: decoded["clientKey"]})
	config.Contexts[name].Nodes = nodes
	return config, nil
}

// do connects as the real provider does: a node in maintenance mode answers Disks without a certificate, any other one
// gets mutual TLS.
func (t target) do(ctx context.Context, operation func(context.Context, *client.Client) error) error {
	nodeCtx := client.WithNode(ctx, t.node)
	c, err := client.New(ctx, client.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}), client.WithEndpoints(t.endpoint))
	if err != nil {
		return err
	}
	if _, err := c.Disks(nodeCtx); err != nil {
		_ = c.Close() // nothing was done on it
		if c, err = client.New(ctx, client.WithConfig(t.config), client.WithEndpoints(t.endpoint)); err != nil {
			return err
		}
	}
	defer c.Close() //nolint:errcheck // the operation's own error counts
	return operation(nodeCtx, c)
}

// apply sends the configuration and returns when the node has taken it; it does not wait for a reboot. Every error but
// InvalidArgument is tried again until the timeout, refused credentials too.
func (t target) apply(ctx context.Context, configuration, mode string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request := &machineapi.ApplyConfigurationRequest{
		Mode: machineapi.ApplyConfigurationRequest_Mode(machineapi.ApplyConfigurationRequest_Mode_value[strings.ToUpper(mode)]),
		Data: []byte(configuration),
	}
	var last error
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := t.do(ctx, func(ctx context.Context, c *client.Client) error {
			_, err := c.ApplyConfiguration(ctx, request)
			return err
		})
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // what the node said tells more than that the time was up
		}
		if status.Code(err) == codes.InvalidArgument {
			return fmt.Errorf("error applying configuration: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("error applying configuration (tried for %s): %w", timeout, last)
		case <-time.After(pause):
		}
	}
}

// needsReboot asks the node by a dry run.
func (t target) needsReboot(ctx context.Context, configuration string) (bool, error) {
	var needed bool
	err := t.do(ctx, func(ctx context.Context, c *client.Client) error {
		response, err := c.ApplyConfiguration(ctx, &machineapi.ApplyConfigurationRequest{
			Mode: machineapi.ApplyConfigurationRequest_AUTO, Data: []byte(configuration), DryRun: true,
		})
		if err == nil && len(response.Messages) > 0 {
			needed = response.Messages[0].Mode == machineapi.ApplyConfigurationRequest_REBOOT
		}
		return err
	})
	return needed, err
}

// timeoutOf reads the `timeouts` input (Go durations). customTimeouts do not reach a plugin of this bridge
// (pulumi-terraform-bridge#827).
func timeoutOf(in props, operation string) (time.Duration, error) {
	said := text(child(in, "timeouts"), operation)
	if said == "" {
		return defaultTimeout, nil
	}
	timeout, err := time.ParseDuration(said)
	if err != nil {
		return 0, fmt.Errorf("timeouts.%s: %w", operation, err)
	}
	return timeout, nil
}
