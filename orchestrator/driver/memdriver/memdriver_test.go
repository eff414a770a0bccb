package memdriver_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "plugin" {
		driverplugin.Serve(func(_ context.Context, log *slog.Logger) (driver.Driver, error) {
			return memdriver.New(&memdriver.Options{Handlers: handlers, Logger: log}), nil
		})
		return
	}
	goleak.VerifyTestMain(m)
}

var _ deployer.Connector = (*memdriver.Driver)(nil)

type handler = faas.InvokerFunc

func open(t testing.TB, handlers map[string]faas.Invoker) *memdriver.Driver {
	d := memdriver.New(&memdriver.Options{Handlers: handlers})
	t.Cleanup(func() { assert.NoError(t, d.Close()) })
	return d
}

func start(t testing.TB, d *memdriver.Driver, c faas.Contract, h string) driver.Status {
	st, err := d.Start(t.Context(), driver.Task{ID: "i1", Contract: c, Command: []string{h}})
	require.NoError(t, err)
	return st
}

func connect(t testing.TB, d *memdriver.Driver, h string) faas.InvokeCloser {
	c, err := d.Connect(t.Context(), faas.Function{}, start(t, d, faas.ContractHandler, h).Endpoint)
	require.NoError(t, err)
	return c
}

func TestWhatAHandlerDoesIsClassed(t *testing.T) {
	detail := errors.New("detail")
	for name, c := range map[string]struct {
		h     handler
		class error
		also  error
		text  string
	}{
		"error": {h: func(context.Context, *faas.Request) (*faas.Response, error) { return nil, detail },
			class: faas.ErrFunction, also: detail},
		"panic": {h: func(context.Context, *faas.Request) (*faas.Response, error) { panic("the value") },
			class: faas.ErrFunction, text: "the value"},
		"nothing": {h: func(context.Context, *faas.Request) (*faas.Response, error) { return nil, nil },
			class: faas.ErrFunction},
		"unavailable": {h: func(context.Context, *faas.Request) (*faas.Response, error) { return nil, faas.ErrUnavailable },
			class: faas.ErrFunction},
		"gave up": {h: func(ctx context.Context, _ *faas.Request) (*faas.Response, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
			class: faas.ErrTimeout, also: context.DeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := open(t, map[string]faas.Invoker{"h": c.h})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			resp, err := connect(t, d, "h").Invoke(ctx, &faas.Request{})
			assert.Nil(t, resp, name)
			assert.ErrorIs(t, faas.Class(err), c.class, name)
			assert.NotErrorIs(t, err, faas.ErrUnavailable, name)
			assert.ErrorContains(t, err, c.text, name)
			if c.also != nil {
				assert.ErrorIs(t, err, c.also, name)
			}
		})
	}
}

func TestStopDrainsThenRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := open(t, map[string]faas.Invoker{"h": handler(func(context.Context, *faas.Request) (*faas.Response, error) {
			<-release
			return &faas.Response{}, nil
		})})
		inst := connect(t, d, "h")
		called, stopped := make(chan error, 1), make(chan error, 1)
		go func() { _, err := inst.Invoke(t.Context(), &faas.Request{}); called <- err }()
		synctest.Wait()
		go func() { stopped <- d.Stop(t.Context(), "i1", time.Hour) }()
		synctest.Wait()
		assert.Empty(t, stopped, "it waits for the call in flight")
		_, err := inst.Invoke(t.Context(), &faas.Request{})
		assert.ErrorIs(t, err, faas.ErrUnavailable)
		close(release)
		assert.NoError(t, <-called)
		assert.NoError(t, <-stopped)
		_, err = inst.Invoke(t.Context(), &faas.Request{})
		assert.ErrorIs(t, err, faas.ErrUnavailable)
		require.NoError(t, inst.Close())
		_, err = inst.Invoke(t.Context(), &faas.Request{})
		assert.ErrorIs(t, err, faas.ErrClosed)
	})
}

func TestStopEndsAfterGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := open(t, map[string]faas.Invoker{"h": handler(func(context.Context, *faas.Request) (*faas.Response, error) {
			<-release
			return &faas.Response{}, nil
		})})
		inst := connect(t, d, "h")
		go func() { _, _ = inst.Invoke(t.Context(), &faas.Request{}) }()
		synctest.Wait()
		begun := time.Now()
		slow := make(chan error, 1)
		go func() { slow <- d.Stop(t.Context(), "i1", time.Hour) }()
		synctest.Wait()
		require.NoError(t, d.Stop(t.Context(), "i1", time.Minute), "the shorter grace holds")
		assert.NoError(t, <-slow)
		assert.Equal(t, time.Minute, time.Since(begun))
		close(release)
	})
}

func TestConnectKnowsItsOwn(t *testing.T) {
	d := open(t, map[string]faas.Invoker{"h": handler(nil)})
	_, err := d.Connect(t.Context(), faas.Function{}, driver.Endpoint{Network: "unix", Address: "/s"})
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	_, err = d.Connect(t.Context(), faas.Function{}, driver.Endpoint{Network: memdriver.Network, Address: "i9"})
	assert.ErrorIs(t, err, faas.ErrUnavailable)
}

func TestHTTPContractsCarryTheWholeCall(t *testing.T) {
	for _, contract := range []faas.Contract{faas.ContractSocket, faas.ContractHTTP} {
		d := open(t, map[string]faas.Invoker{"h": handler(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
			if req.Path == "/panic" {
				panic("the value")
			}
			body, err := req.Body.ReadAll(0)
			text := strings.Join([]string{req.Method, req.Path, req.Query, req.Header.Get("X-In"), string(body)}, " ")
			return &faas.Response{Status: http.StatusAccepted, Header: http.Header{"X-Out": {"out"}},
				Body: faas.Stream(strings.NewReader(text), -1)}, err
		})})
		ep := start(t, d, contract, "h").Endpoint
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var dialer net.Dialer
				return dialer.DialContext(ctx, ep.Network, ep.Address)
			}}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://i/p/q?a=b", strings.NewReader("in"))
		require.NoError(t, err)
		req.Header.Set("X-In", "yes")
		resp, err := client.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "PUT /p/q a=b yes in", string(body))
		assert.Equal(t, http.StatusAccepted, resp.StatusCode)
		assert.Equal(t, "out", resp.Header.Get("X-Out"))

		resp, err = client.Get("http://i/panic")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, http.StatusInternalServerError, resp.StatusCode)

		require.NoError(t, d.Stop(t.Context(), "i1", time.Minute))
		if contract == faas.ContractSocket {
			_, err = os.Stat(ep.Address)
			assert.ErrorIs(t, err, os.ErrNotExist)
		}
		_, err = client.Get("http://i/")
		assert.Error(t, err)
	}
}

func TestInvokeAllocatesNothing(t *testing.T) {
	resp := &faas.Response{}
	d := open(t, map[string]faas.Invoker{"h": handler(func(context.Context, *faas.Request) (*faas.Response, error) { return resp, nil })})
	inst, req := connect(t, d, "h"), &faas.Request{}
	ctx := t.Context()
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = inst.Invoke(ctx, req) }))
}

func BenchmarkInvoke(b *testing.B) {
	resp, req := &faas.Response{}, &faas.Request{}
	h := handler(func(context.Context, *faas.Request) (*faas.Response, error) { return resp, nil })
	d := open(b, map[string]faas.Invoker{"h": h})
	inst := connect(b, d, "h")
	ctx := context.Background()
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = h.Invoke(ctx, req)
		}
	})
	b.Run("driver", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = inst.Invoke(ctx, req)
		}
	})
}
