package httpinstance_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

// Many callers of all kinds at once: each gets its own answer or a classed error,
// and no more connections stay than the function's concurrency.
func TestHammer(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		ep, conns := serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body) // net/http looks for the caller's end only once the body was read
			if err != nil {
				return
			}
			switch r.URL.Path {
			case "/close":
				w.Header().Set("Connection", "close")
			case "/die":
				panic(http.ErrAbortHandler)
			case "/wait":
				<-r.Context().Done()
			}
			_, _ = w.Write(body)
		})
		inv := connect(t, nil, ep)
		var wg sync.WaitGroup
		for worker := range 16 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(1, uint64(worker)))
				for i := range 150 {
					want := strings.Repeat(fmt.Sprintf("%d-%d;", worker, i), 1+rnd.IntN(9000))
					req := &faas.Request{Path: []string{"/", "/", "/", "/close", "/die", "/wait"}[rnd.IntN(6)], Body: faas.String(want)}
					if rnd.IntN(2) == 0 {
						req.Body = faas.Stream(strings.NewReader(want), []int64{-1, int64(len(want))}[rnd.IntN(2)])
					}
					ctx, cancel := context.WithCancel(t.Context())
					if req.Path == "/wait" {
						ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
					}
					resp, err := inv.Invoke(ctx, req)
					switch {
					case req.Path == "/die":
						assert.ErrorIs(t, err, faas.ErrFunction)
					case req.Path == "/wait":
						assert.ErrorIs(t, err, faas.ErrTimeout)
					case !assert.NoError(t, err):
					case rnd.IntN(4) == 0:
						assert.NoError(t, resp.Body.Close())
					default:
						got, err := resp.Body.Text()
						assert.NoError(t, err)
						assert.True(t, got == want, "got somebody else's answer")
					}
					cancel()
				}
			})
		}
		wg.Wait()
		require.Eventually(t, func() bool { return conns.alive() <= hello.Spec.Concurrency }, 10*time.Second, time.Millisecond)
	})
}
