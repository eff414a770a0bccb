package memdriver

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// server serves a handler over HTTP/1.1, as a process of that contract would.
type server struct {
	endpoint driver.Endpoint
	http     *http.Server
	done     chan struct{} // closed when Serve has returned
	dir      string        // of the unix socket; "" for TCP
}

func serve(c faas.Contract, t *task) (*server, error) {
	s := &server{done: make(chan struct{})}
	network, address := "tcp", "127.0.0.1:0"
	if c == faas.ContractSocket {
		dir, err := os.MkdirTemp("", "memdriver-")
		if err != nil {
			return nil, err
		}
		s.dir, network, address = dir, "unix", filepath.Join(dir, "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		s.removeDir()
		return nil, err
	}
	s.endpoint = driver.Endpoint{Network: network, Address: l.Addr().String()}
	s.http = &http.Server{
		Handler:           t,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(t.log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // ends with ErrServerClosed
	}()
	return s, nil
}

// close drains the server and, once hurry is closed, cuts what is left.
func (s *server) close(hurry <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-hurry:
			cancel()
		case <-ctx.Done():
		}
	}()
	_ = s.http.Shutdown(ctx)
	_ = s.http.Close()
	<-s.done
	s.removeDir()
}

func (s *server) removeDir() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// ServeHTTP turns the HTTP request into a call of the handler.
func (t *task) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp, err := t.call(r.Context(), &faas.Request{
		ID:     r.Header.Get("X-Request-Id"),
		Method: r.Method,
		Path:   r.URL.Path,
		Query:  r.URL.RawQuery,
		Header: r.Header,
		Body:   faas.Stream(r.Body, r.ContentLength),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer resp.Body.Close()
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode())
	if data, ok := resp.Body.InHand(); ok {
		_, _ = w.Write(data)
		return
	}
	if _, err := io.Copy(flushing{w, http.NewResponseController(w)}, resp.Body.Reader()); err != nil {
		panic(http.ErrAbortHandler) // a cut answer must not look whole
	}
}

// flushing passes each piece of a stream on as it comes.
type flushing struct {
	io.Writer
	ctl *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.ctl.Flush()
	}
	return n, err
}
