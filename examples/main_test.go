package main

import (
	"bytes"
	"context"
	"image/png"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas/examples/functions/resize"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The demo checks its own results: every answer, the scale-up and the scale to zero.
func TestDemo(t *testing.T) {
	ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
	defer done()
	require.NoError(t, run(ctx, "127.0.0.1:0", t.TempDir(), false))
	http.DefaultClient.CloseIdleConnections()
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
