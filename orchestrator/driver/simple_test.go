package driver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/drivertest"
)

// servers starts HTTP servers that behave as the kit wants; left counts those that were not ended.
type servers struct {
	mu   sync.Mutex
	left map[string]bool
}

func (s *servers) run(ctx context.Context, t driver.Task) (driver.Run, error) {
	what := drivertest.Behaviour(t.Command[0])
	switch what {
	case drivertest.Missing:
		return driver.Run{}, faas.Errorf("servers", "start", t.ID, faas.ErrNotFound, "no such thing")
	case drivertest.NeverReady:
		<-ctx.Done()
		return driver.Run{}, ctx.Err()
	case drivertest.ExitEarly:
		return driver.Run{}, (&driver.Exit{Reason: driver.ExitExited, Code: 3}).Err(t.ID)
	}
	exited := make(chan driver.Exit, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number := func(key string) int { n, _ := strconv.Atoi(r.FormValue(key)); return n }
		switch r.URL.Path {
		case "/stream":
			for i := range number("n") {
				fmt.Fprintln(w, "chunk", i)
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Duration(number("ms")) * time.Millisecond)
			}
		case "/exit":
			exited <- driver.Exit{Reason: driver.ExitExited, Code: number("code")}
			panic(http.ErrAbortHandler)
		case "/crash":
			exited <- driver.Exit{Reason: driver.ExitSignaled, Code: -1, Signal: "SIGKILL"}
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.Copy(w, r.Body)
		}
	}))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left[t.ID] = true
	return driver.Run{Endpoint: driver.Endpoint{Network: "tcp", Address: srv.Listener.Addr().String()}, Exited: exited,
		End: func(ctx context.Context) {
			if what == drivertest.IgnoreTerm {
				<-ctx.Done()
			}
			_ = srv.Config.Shutdown(ctx)
			srv.CloseClientConnections()
			srv.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.left, t.ID)
		}}, nil
}

func TestConformance(t *testing.T) {
	s := &servers{left: map[string]bool{}}
	drivertest.Run(t, drivertest.Harness{
		Open: func(testing.TB) driver.Driver {
			return driver.Simple(driver.Info{Name: "servers", Contracts: []faas.Contract{faas.ContractHTTP}}, s.run)
		},
		Task: func(tb testing.TB, b drivertest.Behaviour) driver.Task {
			switch b {
			case drivertest.Serve, drivertest.IgnoreTerm, drivertest.NeverReady, drivertest.ExitEarly, drivertest.Missing,
				drivertest.Exit, drivertest.Crash:
				return driver.Task{Contract: faas.ContractHTTP, Command: []string{string(b)}}
			}
			tb.Skipf("a server in this process cannot do this: %s", b)
			return driver.Task{}
		},
		Leftovers: func(testing.TB) (left []string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for id := range s.left {
				left = append(left, id)
			}
			return left
		},
	})
}

// TestSimpleUndoesAStartThatNobodyWants: run was faster than the caller's end, but not than Start.
func TestSimpleUndoesAStartThatNobodyWants(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := 0
	d := driver.Simple(driver.Info{Name: "d", Contracts: []faas.Contract{faas.ContractHTTP}}, func(context.Context, driver.Task) (driver.Run, error) {
		cancel()
		return driver.Run{End: func(ctx context.Context) { assert.Error(t, ctx.Err(), "by force"); ended++ }}, nil
	})
	defer d.Close()
	_, err := d.Start(ctx, driver.Task{ID: "i1", Contract: faas.ContractHTTP, Command: []string{"x"}})
	assert.ErrorIs(t, err, faas.ErrCanceled)
	assert.Equal(t, 1, ended)
	all, err := d.List(t.Context())
	require.NoError(t, err)
	assert.Empty(t, all)
}

func ExampleSimple() {
	d := driver.Simple(driver.Info{Name: "mine", Contracts: []faas.Contract{faas.ContractHTTP}},
		func(_ context.Context, t driver.Task) (driver.Run, error) {
			if t.Command[0] != "hello" {
				return driver.Run{}, faas.Errorf("mine", "start", t.ID, faas.ErrNotFound, "there is no program %q", t.Command[0])
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return driver.Run{}, err
			}
			srv := &http.Server{Handler: http.NotFoundHandler()}
			go func() { _ = srv.Serve(l) }()
			return driver.Run{Endpoint: driver.Endpoint{Network: "tcp", Address: l.Addr().String()},
				End: func(ctx context.Context) { _ = srv.Shutdown(ctx); _ = srv.Close() }}, nil
		})
	defer d.Close()
	st, err := d.Start(context.Background(), driver.Task{ID: "i1", Contract: faas.ContractHTTP, Command: []string{"hello"}})
	fmt.Println(st.State, err)
	_, err = d.Start(context.Background(), driver.Task{ID: "i2", Contract: faas.ContractHTTP, Command: []string{"other"}})
	fmt.Println(errors.Is(err, faas.ErrNotFound))
	// Output:
	// running <nil>
	// true
}
