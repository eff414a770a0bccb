//go:build linux

package procdriver_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	need "github.com/joinery/faas/internal/require"
	"github.com/joinery/faas/internal/testfunction/testcall"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

func TestStdioAnswers(t *testing.T) {
	d := open(t, nil)
	st := start(t, d, stdio(t, "i1"))
	c := client(t, st.Endpoint)

	t.Run("echo", func(t *testing.T) {
		body := strings.Repeat("\x00\xffbytes", 100_000)
		resp, err := c.Post("http://f/", "image/png", strings.NewReader(body))
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Equal(t, "image/png", resp.Header.Get("Content-Type"))
		assert.NotEmpty(t, resp.Header.Get("X-Duration-Seconds"))
		assert.True(t, body == string(got), "%d bytes came back as %d", len(body), len(got))
	})
	t.Run("environment", func(t *testing.T) {
		req, err := http.NewRequest(http.MethodPut, "http://example.org/env?a=b&c", strings.NewReader("12345"))
		require.NoError(t, err)
		req.Header.Set("X-Some-Header", "some value")
		req.Header["Path"] = []string{"forged"}
		resp, err := c.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		var env map[string]string
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&env))
		home := env["HOME"]
		for _, k := range []string{"HOME", "TMPDIR", "PATH", "GORACE", "Http_Accept_Encoding", "Http_User_Agent"} {
			assert.Contains(t, env, k)
			delete(env, k)
		}
		assert.DirExists(t, home)
		assert.Equal(t, map[string]string{"Http_Method": "PUT", "Http_Path": "/env", "Http_Query": "a=b&c", "Http_Host": "example.org",
			"Http_ContentLength": "5", "Http_Content_Length": "5", "Http_X_Some_Header": "some value"}, env)
	})
	for _, f := range []struct{ path, want string }{
		{"/exit?code=7", "exit status 7\nso far"},
		{"/crash", "signal: SIGKILL\n"},
	} {
		t.Run(f.path, func(t *testing.T) {
			resp, err := c.Get("http://f" + f.path)
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.Equal(t, http.StatusInternalServerError, resp.StatusCode)
			assert.Equal(t, f.want, string(got))
		})
	}
	t.Run("a long answer is passed on", func(t *testing.T) {
		assert.Len(t, testcall.MustGet(t, st.Endpoint, "/big?kb=3000"), 3000<<10)
	})
	t.Run("a long answer that fails is cut", func(t *testing.T) {
		_, err := testcall.Get(t, st.Endpoint, "/big?kb=3000&code=1")
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
	t.Run("a body nobody reads", func(t *testing.T) {
		resp, err := c.Post("http://f/exit", "", strings.NewReader(strings.Repeat("x", 4<<20)))
		if err == nil { // else the connection was closed while the body was being sent
			got, _ := io.ReadAll(resp.Body)
			assert.Equal(t, "so far", string(got))
		}
	})
	t.Run("hostile requests", func(t *testing.T) {
		for path, status := range map[string]int{"/%00": http.StatusBadRequest, "/?q=" + strings.Repeat("q", 200<<10): http.StatusRequestHeaderFieldsTooLarge} {
			resp, err := c.Get("http://f" + path)
			require.NoError(t, err)
			_ = resp.Body.Close()
			assert.Equal(t, status, resp.StatusCode)
		}
	})
}

// hang makes a call that hangs and returns its process once it runs.
func hang(t *testing.T, d *procdriver.Driver, e driver.Endpoint, id, body string) (pid string, cancel func(), done <-chan error) {
	t.Helper()
	cctx, cancel := context.WithCancel(ctx(t))
	req, err := http.NewRequestWithContext(cctx, http.MethodPost, "http://f/hang", strings.NewReader(body))
	require.NoError(t, err)
	result := make(chan error, 1)
	c := client(t, e)
	go func() {
		resp, err := c.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		result <- err
	}()
	for line, err := range d.Logs(ctx(t), id, driver.LogOptions{Follow: true}) {
		require.NoError(t, err)
		if p, ok := strings.CutPrefix(line.Text, "hanging "); ok {
			return p, cancel, result
		}
	}
	panic("unreachable")
}

func TestStdioCallerGoesAway(t *testing.T) {
	for name, body := range map[string]string{"": "", "with a body nobody reads": strings.Repeat("x", 1<<20)} {
		t.Run("call"+name, func(t *testing.T) {
			d := open(t, nil)
			st := start(t, d, stdio(t, "i1"))
			pid, cancel, done := hang(t, d, st.Endpoint, "i1", body)
			cancel()
			assert.Error(t, <-done)
			gone(t, pid)
			assert.Equal(t, "", testcall.MustGet(t, st.Endpoint, "/echo"), "the slot is free again")
		})
	}
}

func TestStdioStop(t *testing.T) {
	for name, grace := range map[string]time.Duration{"by force": 0, "after the grace": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			d := open(t, nil)
			st := start(t, d, stdio(t, "i1"))
			pid, cancel, done := hang(t, d, st.Endpoint, "i1", "")
			defer cancel()
			require.NoError(t, d.Stop(ctx(t), "i1", grace))
			assert.Error(t, <-done)
			assert.Contains(t, []string{"", "Z"}, state(pid))
			_, err := testcall.Get(t, st.Endpoint, "/")
			assert.Error(t, err)
		})
	}
}

func TestStdioConcurrency(t *testing.T) {
	d := open(t, nil)
	st := start(t, d, stdio(t, "one"))
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			body, err := testcall.Get(t, st.Endpoint, "/overlap")
			assert.NoError(t, err)
			assert.Equal(t, "alone", body)
		})
	}
	wg.Wait()
}

// What a call leaves behind ends with it, and not that of another call.
func TestStdioDaemons(t *testing.T) {
	for name, o := range map[string]*procdriver.Options{"cgroups": {}, "none": {NoCgroups: true}} {
		t.Run(name, func(t *testing.T) {
			d := open(t, o)
			if name == "cgroups" {
				need.Engine(t, "cgroup", len(d.Groups()) > 0, "no cgroups to make")
			}
			st := start(t, d, stdio(t, "i1"))
			for range 10 {
				pid := testcall.MustGet(t, st.Endpoint, "/daemon")
				require.NotEmpty(t, pid)
				assert.Contains(t, []string{"", "Z"}, state(pid))
				gone(t, pid)
			}
		})
	}
}

func TestStdioMemory(t *testing.T) {
	d := open(t, nil)
	info, err := d.Info(ctx(t))
	require.NoError(t, err)
	need.Engine(t, "cgroup", info.Limits.Memory, "no cgroup to limit memory with")
	tk := stdio(t, "i1")
	tk.Limits = faas.Resources{Memory: 64 << 20, Pids: 100, MilliCPU: 4000}
	st := start(t, d, tk)
	assert.Equal(t, "8", testcall.MustGet(t, st.Endpoint, "/alloc?mb=8"))
	assert.Equal(t, "out of memory\n", testcall.MustGet(t, st.Endpoint, "/alloc?mb=256"))
	assert.Equal(t, "8", testcall.MustGet(t, st.Endpoint, "/alloc?mb=8"), "the next call is served")
	assert.Equal(t, "exit status 4\nso far", testcall.MustGet(t, st.Endpoint, "/exit?code=4"), "an old kill is not held against it")
}

func TestStdioManyCalls(t *testing.T) {
	d := open(t, nil)
	tk := driver.Task{ID: "i1", Contract: faas.ContractStdio, Command: []string{"cat"}, Concurrency: 4}
	st := start(t, d, tk)
	c := client(t, st.Endpoint)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				resp, err := c.Post("http://f/", "text/plain", strings.NewReader("meow"))
				if !assert.NoError(t, err) {
					return
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				assert.NoError(t, err)
				assert.Equal(t, "meow", string(body))
			}
		})
	}
	wg.Wait()
}
