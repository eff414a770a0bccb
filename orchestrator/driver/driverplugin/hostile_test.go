//go:build linux

package driverplugin

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	pb "github.com/joinery/faas/orchestrator/driver/driverplugin/driverpb"
)

// hostile is a plugin that does not use the SDK, and answers as its name says.
type hostile struct {
	pb.UnimplementedPluginServer
	pb.UnimplementedDriverServer
	what string
}

func beHostile(what string) {
	plugin.Serve(&plugin.ServeConfig{HandshakeConfig: handshake(), GRPCServer: plugin.DefaultGRPCServer,
		Plugins: plugin.PluginSet{"driver": hostileWire{s: &hostile{what: what}}}})
}

type hostileWire struct {
	wire
	s *hostile
}

func (w hostileWire) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	pb.RegisterPluginServer(g, w.s)
	pb.RegisterDriverServer(g, w.s)
	return nil
}

func (h *hostile) Negotiate(context.Context, *pb.NegotiateRequest) (*pb.NegotiateResponse, error) {
	switch h.what {
	case "nil-negotiate":
		return nil, nil
	case "many-apis":
		return &pb.NegotiateResponse{Apis: make([]int32, 1<<19)}, nil
	case "slow-negotiate":
		time.Sleep(time.Hour)
	}
	return &pb.NegotiateResponse{Apis: []int32{1}}, nil
}

func (h *hostile) GetInfo(context.Context, *pb.InfoRequest) (*pb.Info, error) {
	i := &pb.Info{Name: "hostile", Contracts: []string{"http"}, Isolation: 1, Logs: true, Stats: true}
	switch h.what {
	case "nil-info":
		return nil, nil
	case "empty-info":
		return &pb.Info{}, nil
	case "info-name":
		i.Name = "../x"
	case "info-isolation":
		i.Isolation = 99
	case "info-negative-isolation":
		i.Isolation = -1
	case "info-handler":
		i.Contracts = []string{"handler"}
	case "info-contract":
		i.Contracts = []string{"A B"}
	case "info-giant":
		i.Version = strings.Repeat("x", 5<<20)
	}
	return i, nil
}

func (h *hostile) Start(stream grpc.ClientStreamingServer[pb.StartRequest, pb.StartResponse]) error {
	r, err := stream.Recv()
	if err != nil {
		return err
	}
	now := timestamppb.Now()
	st := &pb.Status{Id: r.GetTask().GetId(), State: "running", Started: now, Ready: now, Endpoint: &pb.Endpoint{Network: "tcp", Address: "127.0.0.1:1"}}
	m := &pb.StartResponse{Status: st}
	switch h.what {
	case "nil-status":
		m.Status = nil
	case "nil-endpoint":
		st.Endpoint = nil
	case "other-id":
		st.Id = "another"
	case "state":
		st.State = "flying"
	case "ended":
		st.State, st.Exit = "ended", &pb.Exit{Reason: "exited"}
	case "running-exit":
		st.Exit = &pb.Exit{Reason: "exited"}
	case "reason":
		st.State, st.Exit = "gone", &pb.Exit{Reason: "bored"}
	case "network":
		st.Endpoint.Network = "carrier-pigeon"
	case "address":
		st.Endpoint.Address = ""
	case "time":
		st.Started = &timestamppb.Timestamp{Seconds: 1 << 60, Nanos: -1}
	case "giant":
		st.Labels = map[string]string{"x": strings.Repeat("x", 5<<20)}
	case "handle-id":
		m.Handle = &pb.Handle{Id: "another", Driver: "hostile"}
	case "handle-driver":
		m.Handle = &pb.Handle{Id: st.Id, Driver: "another"}
	case "handle-giant":
		m.Handle = &pb.Handle{Id: st.Id, Driver: "hostile", State: make([]byte, driver.MaxHandleState+1)}
	case "no-answer":
		<-stream.Context().Done()
		return stream.Context().Err()
	case "odd-error":
		return errorTo(&faas.Error{})
	case "skewed":
		st.Started = timestamppb.New(time.Now().AddDate(1000, 0, 0))
	}
	return stream.SendAndClose(m)
}

func (h *hostile) Stop(context.Context, *pb.StopRequest) (*pb.StopResponse, error) {
	return &pb.StopResponse{}, nil
}

func (h *hostile) Watch(_ *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.WatchResponse]) error {
	for i := 0; h.what == "watch-flood"; i++ { // of tasks that nobody has started
		st := &pb.Status{Id: "stranger", State: "running", Endpoint: &pb.Endpoint{Network: "tcp", Address: "a"}}
		if err := stream.Send(&pb.WatchResponse{Status: st}); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

func (h *hostile) Logs(_ *pb.LogsRequest, stream grpc.ServerStreamingServer[pb.LogLine]) error {
	for {
		if err := stream.Send(&pb.LogLine{Stream: map[bool]string{true: "stdlog", false: "stdout"}[h.what == "log-stream"]}); err != nil {
			return err
		}
	}
}

func (h *hostile) GetStats(context.Context, *pb.StatsRequest) (*pb.Stats, error) {
	if h.what == "stats-giant" {
		return &pb.Stats{Cpu: &durationpb.Duration{Seconds: 1 << 62, Nanos: 1}}, nil
	}
	return nil, nil
}

func (h *hostile) Close(context.Context, *pb.CloseRequest) (*pb.CloseResponse, error) {
	return &pb.CloseResponse{}, nil
}

func hostileOptions(what string) *Options {
	o := options("hostile", what)
	o.StartTimeout = limit
	return o
}

// TestHostilePluginsAreNotOpened: the error names the field.
func TestHostilePluginsAreNotOpened(t *testing.T) {
	for what, field := range map[string]string{"nil-info": "", "empty-info": "info.name", "info-name": "info.name",
		"info-isolation": "info.isolation", "info-negative-isolation": "info.isolation", "info-handler": "info.contracts",
		"info-contract": "info.contracts", "info-giant": "larger than max", "many-apis": "upgrade the plugin",
		"nil-negotiate": ""} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_, err := Open(ctx(t), self(t), hostileOptions(what))
			require.Error(t, err)
			assert.ErrorContains(t, err, field)
			assert.Less(t, len(err.Error()), 2<<10)
		})
	}
	slow := hostileOptions("slow-negotiate")
	slow.StartTimeout = 500 * time.Millisecond
	_, err := Open(ctx(t), self(t), slow)
	assert.ErrorIs(t, err, faas.ErrTimeout)
}

// TestHostileAnswers are refused: nothing of them is listed, and the error names plugin and field.
func TestHostileAnswers(t *testing.T) {
	for what, field := range map[string]string{"nil-status": "status.id", "nil-endpoint": "status.endpoint.network", "other-id": "status.id",
		"state": "status.state", "ended": "status.state", "running-exit": "status.exit", "reason": "status.exit.reason",
		"network": "status.endpoint.network", "address": "status.endpoint.address", "time": "status.started",
		"handle-id": "handle.id", "handle-driver": "another", "handle-giant": "262145",
		"giant": "larger than max", "odd-error": "internal"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := open(t, hostileOptions(what))
			_, err := p.Start(ctx(t), driver.Task{ID: "i1", Contract: "http", Command: []string{"x"}})
			require.Error(t, err)
			assert.ErrorContains(t, err, field)
			if strings.Contains(field, ".") {
				assert.ErrorIs(t, err, faas.ErrInternal)
				assert.ErrorContains(t, err, p.link.name)
			}
			all, err := p.List(ctx(t))
			require.NoError(t, err)
			assert.Empty(t, all)
		})
	}
}

func TestHostileStreams(t *testing.T) {
	p := open(t, hostileOptions("watch-flood"))
	_, err := p.Start(ctx(t), driver.Task{ID: "i1", Contract: "http", Command: []string{"x"}})
	require.NoError(t, err)
	all, err := p.List(ctx(t))
	require.NoError(t, err)
	assert.Len(t, all, 1, "strangers are not listed")
	n := 0
	for _, err := range p.Logs(ctx(t), "i1", driver.LogOptions{}) {
		require.NoError(t, err)
		if n++; n == 10_000 { // of a sequence without end
			break
		}
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var last error
	for _, err := range p.Logs(soon, "i1", driver.LogOptions{}) {
		last = err
	}
	assert.ErrorIs(t, last, faas.ErrTimeout)
	st, err := p.Stats(ctx(t), "i1")
	require.NoError(t, err)
	assert.Zero(t, st)

	p = open(t, hostileOptions("log-stream"))
	for _, err := range p.Logs(ctx(t), "i1", driver.LogOptions{}) {
		assert.ErrorContains(t, err, "line.stream")
	}
	p = open(t, hostileOptions("stats-giant"))
	_, err = p.Stats(ctx(t), "i1")
	assert.ErrorContains(t, err, "stats.cpu")
	p = open(t, hostileOptions("skewed"))
	_, err = p.Start(ctx(t), driver.Task{ID: "i1", Contract: "http", Command: []string{"x"}})
	require.NoError(t, err, "clocks differ")
	p = open(t, hostileOptions("no-answer"))
	soon, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	go func() { <-soon.Done(); _ = p.Detach() }()
	_, err = p.Start(soon, driver.Task{ID: "i1", Contract: "http", Command: []string{"x"}})
	assert.Error(t, err)
}

func TestTasksThatDoNotFitAMessage(t *testing.T) {
	p := open(t, hostileOptions("good"))
	huge := driver.Task{ID: "i1", Contract: "http", Command: []string{"x", strings.Repeat("x", 4<<20)}}
	_, err := p.Start(ctx(t), huge)
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	_, err = p.Start(ctx(t), driver.Task{ID: "i1", Contract: "http", Command: []string{"x"}, Labels: map[string]string{"\xff": ""}})
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	_, err = p.Handle(ctx(t), "i1")
	assert.ErrorIs(t, err, faas.ErrUnimplemented)
	_, err = p.Recover(ctx(t), "me", nil)
	assert.ErrorIs(t, err, faas.ErrUnimplemented)
	assert.ErrorIs(t, p.Pause(ctx(t), "i1"), faas.ErrUnimplemented)
	assert.ErrorIs(t, p.Resume(ctx(t), "i1"), faas.ErrUnimplemented)
}
