package main

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas/examples/functions/resize"
	"github.com/joinery/faas/internal/dockerengine"
	engine "github.com/joinery/faas/internal/require"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The demo checks its own results: every answer, the scale-up and the scale to zero.
func TestDemo(t *testing.T) { demonstrate(t, "proc") }

func TestDemoOnDocker(t *testing.T) {
	err := dockerengine.Available(t.Context())
	engine.Engine(t, "docker", err == nil, fmt.Sprint(err))
	demonstrate(t, "docker")
}

func demonstrate(t *testing.T, driver string) {
	ctx, done := context.WithTimeout(t.Context(), 3*time.Minute)
	defer done()
	out := t.TempDir()
	require.NoError(t, run(ctx, options{addr: "127.0.0.1:0", driver: driver, out: out}))
	http.DefaultClient.CloseIdleConnections()
	for _, name := range []string{"texts", "texts-in-go"} {
		svg, err := os.ReadFile(filepath.Join(out, "joinery-"+name+".svg"))
		require.NoError(t, err)
		require.Contains(t, string(svg), ">merge<")
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, (&demo{}).serve(ctx))
}

func TestResize(t *testing.T) {
	coffee, err := files.ReadFile("testdata/coffee.png")
	require.NoError(t, err)
	for _, c := range []struct {
		query         string
		body          []byte
		status        int
		width, height int
	}{
		{"width=300", coffee, 200, 300, 200},
		{"", coffee, 200, 128, 85},
		{"width=4000", coffee, 200, 600, 400},
		{"width=0", coffee, 400, 0, 0},
		{"width=x", coffee, 400, 0, 0},
		{"", []byte("no picture"), 400, 0, 0},
	} {
		w := httptest.NewRecorder()
		resize.Handler(w, httptest.NewRequest(http.MethodPost, "/?"+c.query, bytes.NewReader(c.body)))
		require.Equal(t, c.status, w.Code, c.query)
		if c.status == http.StatusOK {
			size, err := png.DecodeConfig(w.Body)
			require.NoError(t, err)
			require.Equal(t, [2]int{c.width, c.height}, [2]int{size.Width, size.Height})
		}
	}
}
