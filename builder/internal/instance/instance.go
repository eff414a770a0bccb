// Package instance starts what a builder built, for tests: as a driver does, in a working
// directory of its own, with nothing inherited but the listener.
package instance

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
)

// Instance is a running function.
type Instance struct {
	// Client sends every request to it, whatever the host.
	Client *http.Client
	// Network and Address are where it listens.
	Network, Address string

	cmd    *exec.Cmd
	exited chan struct{}
	err    error

	mu     sync.Mutex
	output bytes.Buffer
}

// Start runs the artifact in dir and returns once it answers; it is stopped at the end of the test.
func Start(tb testing.TB, dir string, a builder.Artifact) *Instance {
	tb.Helper()
	home, err := os.MkdirTemp("", "fn") // short: a socket's path is bounded
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(home) })
	in := &Instance{Network: "unix", Address: filepath.Join(home, "s"), exited: make(chan struct{})}
	program := a.Command[0]
	if strings.HasPrefix(program, "./") {
		program = filepath.Join(dir, program)
	}
	in.cmd = exec.Command(program, a.Command[1:]...)
	in.cmd.Dir, in.cmd.Env = home, []string{"K_SERVICE=hello", "K_REVISION=hello-7"}
	for k, v := range a.Env {
		in.cmd.Env = append(in.cmd.Env, k+"="+v)
	}
	in.cmd.Stdout, in.cmd.Stderr = in, in
	switch a.Contract {
	case faas.ContractInherit:
		l, err := net.Listen("unix", in.Address)
		if err != nil {
			tb.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		f, err := l.(*net.UnixListener).File()
		if err != nil {
			tb.Fatal(err)
		}
		defer f.Close()
		defer l.Close()
		in.cmd.ExtraFiles = []*os.File{f}
		in.cmd.Env = append(in.cmd.Env, "LISTEN_FDS=1")
	case faas.ContractSocket:
		in.cmd.Env = append(in.cmd.Env, "SOCKET="+in.Address)
	case faas.ContractHTTP:
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		in.Network, in.Address = "tcp", l.Addr().String()
		_, port, _ := net.SplitHostPort(in.Address)
		_ = l.Close()
		in.cmd.Env = append(in.cmd.Env, "PORT="+port)
	default:
		tb.Fatalf("unknown contract %q", a.Contract)
	}
	in.Client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, in.Network, in.Address)
		},
	}}
	if err := in.cmd.Start(); err != nil {
		tb.Fatalf("start: %v", err)
	}
	go func() {
		in.err = in.cmd.Wait()
		close(in.exited)
	}()
	tb.Cleanup(func() {
		_ = in.cmd.Process.Kill()
		<-in.exited
		in.Client.CloseIdleConnections()
	})
	in.await(tb)
	return in
}

// await asks "OPTIONS *" until it answers or has ended.
func (in *Instance) await(tb testing.TB) {
	tb.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		select {
		case <-in.exited:
			tb.Fatalf("the function ended before it was ready: %v\n%s", in.err, in.Output())
		default:
		}
		if in.ready(end) {
			return
		}
	}
	tb.Fatalf("the function was not ready in time:\n%s", in.Output())
}

func (in *Instance) ready(end time.Time) bool {
	c, err := net.Dial(in.Network, in.Address)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(end)
	if _, err := io.WriteString(c, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return false
	}
	answer, err := io.ReadAll(c)
	return err == nil && bytes.HasPrefix(answer, []byte("HTTP/1.1 200 "))
}

// Write implements io.Writer for the function's output.
func (in *Instance) Write(p []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.output.Write(p)
}

// Output is what the function printed so far.
func (in *Instance) Output() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.output.String()
}

// Post sends a body and returns status and answer.
func (in *Instance) Post(ctx context.Context, contentType, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://function/", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := in.Client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

// Terminate sends SIGTERM.
func (in *Instance) Terminate() error { return in.cmd.Process.Signal(syscall.SIGTERM) }

// Exited is closed when the process has ended; Err then says how.
func (in *Instance) Exited() <-chan struct{} { return in.exited }

// Err is how the process ended, nil for exit code 0. Call it after Exited.
func (in *Instance) Err() error { return in.err }
