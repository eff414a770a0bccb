package httpinstance_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

// A warm call beside net/http's client, over the same socket to the same server.
func BenchmarkInvoke(b *testing.B) {
	ep, _ := serve(b, "unix", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	payload := []byte(`{"hello":"joinery","number":12345678}`)
	b.Run("httpinstance", func(b *testing.B) {
		inv := connect(b, nil, ep)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		b.ReportAllocs()
		for b.Loop() {
			resp, err := inv.Invoke(ctx, &faas.Request{Body: faas.Bytes(payload)})
			require.NoError(b, err)
			got, _ := resp.Body.InHand()
			require.True(b, bytes.Equal(payload, got))
		}
	})
	b.Run("net-http", func(b *testing.B) {
		tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, ep.Network, ep.Address)
		}}
		defer tr.CloseIdleConnections()
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		b.ReportAllocs()
		for b.Loop() {
			req, err := http.NewRequestWithContext(ctx, "POST", "http://hello.default/", bytes.NewReader(payload))
			require.NoError(b, err)
			resp, err := tr.RoundTrip(req)
			require.NoError(b, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(b, err)
			resp.Body.Close()
			require.True(b, bytes.Equal(payload, got))
		}
	})
}
