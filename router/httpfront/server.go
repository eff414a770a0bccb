package httpfront

import (
	"net/http"
	"time"
)

// NewServer returns an http.Server for the handler with the bounds that a server
// on an open port needs and net/http leaves off: 10 s for a request's head (so
// slow heads hold no connection), 64 KiB for its size (net/http adds 4 KiB), 2 min for idle connections.
// Bodies and responses are bounded by the Front's deadline instead, so that they
// may stream. Set Addr, TLSConfig, ErrorLog and the like before use.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}
