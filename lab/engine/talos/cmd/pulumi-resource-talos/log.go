package main

import (
	"context"
	"sync"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// engineLog writes into the engine's diagnostics.
type engineLog struct {
	engine pulumirpc.EngineClient // nil when no engine's address was given
	once   sync.Once
}

func newEngineLog(address string) (*engineLog, error) {
	if address == "" {
		return &engineLog{}, nil
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &engineLog{engine: pulumirpc.NewEngineClient(conn)}, nil
}

// standIn says once what this plugin is. Only operations that change something say it, so that the JSON of a preview
// holds nothing of it.
func (l *engineLog) standIn(ctx context.Context, urn string) {
	l.once.Do(func() { l.say(ctx, pulumirpc.LogSeverity_INFO, urn, banner) })
}

func (l *engineLog) warn(ctx context.Context, urn, message string) {
	l.say(ctx, pulumirpc.LogSeverity_WARNING, urn, message)
}

func (l *engineLog) say(ctx context.Context, severity pulumirpc.LogSeverity, urn, message string) {
	if l.engine == nil {
		return
	}
	// An engine that is going away takes no messages; the operation itself will say so.
	_, _ = l.engine.Log(ctx, &pulumirpc.LogRequest{Severity: severity, Urn: urn, Message: message})
}
