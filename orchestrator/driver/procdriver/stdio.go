//go:build linux

package procdriver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/joinery/faas/orchestrator/driver"
)

// stdioServer is the endpoint of a stdio instance: it runs a process for each request.
type stdioServer struct {
	i     *instance
	group *group // of the instance; each call has one within
	srv   *http.Server
	slots chan struct{} // a token for each process that runs
	calls atomic.Uint64

	ctx     context.Context // of all calls
	cancel  context.CancelFunc
	drained chan struct{} // closed when requests have been drained, or shall be cut
	drain   sync.Once

	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

// serveCalls checks the program, listens and serves.
func (i *instance) serveCalls(ctx context.Context, socket string) error {
	group, err := i.d.groups.open(i.group, i.task.Limits, false)
	if err != nil {
		return err
	}
	var l net.Listener
	if err = i.d.check(ctx, &i.image, group); err == nil {
		l, err = net.Listen("unix", socket)
	}
	if err != nil {
		group.remove(nil)
		return err
	}
	s := &stdioServer{i: i, group: group, slots: make(chan struct{}, max(1, i.task.Concurrency)), drained: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.srv = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute,
		ErrorLog:    slog.NewLogLogger(i.d.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }}
	i.calls = s
	i.d.work.Go(func() { s.serve(l) })
	return nil
}

type connKey struct{}

// serve returns when the instance has ended and nothing is left of it.
func (s *stdioServer) serve(l net.Listener) {
	exit := driver.Exit{Reason: driver.ExitLost, Code: -1}
	if err := s.srv.Serve(l); errors.Is(err, http.ErrServerClosed) {
		<-s.drained
	} else {
		exit.Detail = err.Error()
	}
	s.abort()
	s.running.Wait()
	if s.group == nil {
		(&sweep{mark: s.i.dir, seen: map[int]uint64{}}).finish()
	}
	s.group.kill()
	s.group.remove(s.i.d.reaper(s.group))
	s.i.release()
	s.i.finish(exit)
}

// shutdown takes no more requests and lets those in flight end within the grace.
func (s *stdioServer) shutdown(grace time.Duration) {
	s.i.d.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, grace)
		defer cancel()
		_ = s.srv.Shutdown(ctx)
		s.drain.Do(func() { close(s.drained) })
	})
}

// abort cuts the requests in flight.
func (s *stdioServer) abort() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.cancel()
	_ = s.srv.Close()
	s.drain.Do(func() { close(s.drained) })
}

// begin admits a request that running counts.
func (s *stdioServer) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.running.Add(1)
	}
	return !s.stopped
}

// ServeHTTP answers one request.
func (s *stdioServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		panic(http.ErrAbortHandler)
	}
	defer s.running.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		panic(http.ErrAbortHandler)
	}
	c := &call{s: s, w: w, r: r, cancel: cancel, number: s.calls.Add(1)}
	c.run(ctx)
}

// name is of the call's group.
func (c *call) name() string { return "c" + strconv.FormatUint(c.number, 10) }
