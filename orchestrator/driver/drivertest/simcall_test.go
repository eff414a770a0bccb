package drivertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// simHarness opens sims with a flaw; "" for none.
func simHarness(flaw string) Harness {
	w := &world{things: map[string]bool{}}
	var s *sim
	memory := func(tb testing.TB, d driver.Driver) {
		f := &fixture{TB: tb, h: simHarness(""), d: d, ctx: tb.Context(), run: "memory"}
		t := f.task(OutOfMemory)
		st, err := d.Start(f.ctx, t)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := s.call(f.ctx, st.Endpoint, &faas.Request{Path: "/alloc", Query: "mb=1024"}); err == nil {
			tb.Error("the memory limit was not held")
		}
		f.stop(t.ID, 0)
	}
	return Harness{
		Open: func(testing.TB) driver.Driver {
			s = newSim(flaw, w)
			switch flaw {
			case "logs-lost", "pause-lost", "stats-lost", "recover-lost":
				return struct{ driver.Driver }{s}
			}
			return s
		},
		Task: func(_ testing.TB, b Behaviour) driver.Task {
			t := driver.Task{Contract: "sim", Command: []string{string(b)}}
			switch b {
			case Image:
				t.Image, t.Command = "sim", nil
			case MissingImage:
				t.Image, t.Command = "nothing", nil
			}
			if b == OutOfMemory {
				t.Limits.Memory = 64 << 20
			}
			return t
		},
		Call: func(ctx context.Context, ep driver.Endpoint, req *faas.Request) (*faas.Response, error) {
			return s.call(ctx, ep, req)
		},
		Crash: func(_ testing.TB, d driver.Driver) driver.Driver {
			s = d.(*sim).crash()
			return s
		},
		Leftovers: w.left,
		Limits:    map[string]func(testing.TB, driver.Driver){"memory": memory},
	}
}

// find returns the running task at the endpoint and counts a call to it.
func (s *sim) find(ep driver.Endpoint) (*simTask, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Collect(maps.Values(s.tasks))
	for _, t := range slices.AppendSeq(all, maps.Values(s.orphans)) { // those serve without a driver
		soon := s.flaw == "ready-too-soon" && time.Since(t.status.Ready) < 10*time.Millisecond
		if t.status.Endpoint == ep && t.status.State == driver.StateRunning && !t.starting && !soon {
			t.calls++
			return t, nil
		}
	}
	return nil, fail(faas.ErrUnavailable, "no instance there")
}

func (s *sim) leave(t *simTask) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.calls--
}

// call is how instances of the sim answer.
func (s *sim) call(_ context.Context, ep driver.Endpoint, req *faas.Request) (*faas.Response, error) {
	t, err := s.find(ep)
	if err != nil {
		return nil, err
	}
	s.awaitResume(t)
	q, err := url.ParseQuery(req.Query)
	if err != nil {
		return nil, err
	}
	if req.Path == "/stream" {
		return s.stream(t, number(q, "n"), time.Duration(number(q, "ms"))*time.Millisecond), nil
	}
	defer s.leave(t)
	switch req.Path {
	case "/env":
		env, err := json.Marshal(simEnv(s.flaw, t.spec))
		return &faas.Response{Body: faas.Bytes(env)}, err
	case "/exit":
		return s.die(t, driver.Exit{Reason: driver.ExitExited, Code: number(q, "code")})
	case "/crash":
		return s.die(t, driver.Exit{Reason: driver.ExitSignaled, Code: -1, Signal: "SIGKILL"})
	case "/alloc":
		if s.flaw == "memory-unlimited" {
			return &faas.Response{}, nil
		}
		return s.die(t, driver.Exit{Reason: driver.ExitOutOfMemory, Code: -1})
	case "/daemon":
		s.world.set(t.spec.ID+"/daemon", true)
		return &faas.Response{}, nil
	case "/log":
		s.write(t, q.Get("stream"), q.Get("text"))
	}
	return &faas.Response{Body: req.Body}, nil
}

func number(q url.Values, key string) int {
	n, _ := strconv.Atoi(q.Get(key))
	return n
}

func (s *sim) stream(t *simTask, n int, pause time.Duration) *faas.Response {
	r, w := io.Pipe()
	go func() {
		defer s.leave(t)
		for i := range n {
			fmt.Fprintf(w, "chunk %d\n", i)
			select {
			case <-time.After(pause):
			case <-t.forced:
				w.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
		}
		w.Close()
	}()
	return &faas.Response{Body: faas.Stream(r, -1)}
}

func (s *sim) die(t *simTask, e driver.Exit) (*faas.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.flaw == "code-lost":
		e.Code = 1
	case s.flaw == "signal-as-code" && e.Reason == driver.ExitSignaled:
		e = driver.Exit{Reason: driver.ExitExited, Code: 137}
	case s.flaw == "memory-as-signal" && e.Reason == driver.ExitOutOfMemory:
		e = driver.Exit{Reason: driver.ExitSignaled, Code: -1, Signal: "SIGKILL"}
	}
	t.status.State, t.status.Exit = driver.StateEnded, &e
	s.feed.Publish(t.status)
	if s.flaw == "ended-unlisted" {
		delete(s.tasks, t.spec.ID)
	}
	return nil, fail(faas.ErrFunction, "died")
}

func (s *sim) write(t *simTask, stream, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flaw == "one-stream" {
		stream = "stdout"
	}
	t.lines = append(t.lines, driver.LogLine{Time: time.Now(), Stream: stream, Text: text})
	close(t.wrote)
	t.wrote = make(chan struct{})
}

// Logs implements driver.LogSource.
func (s *sim) Logs(ctx context.Context, id string, o driver.LogOptions) iter.Seq2[driver.LogLine, error] {
	return func(yield func(driver.LogLine, error) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		t := s.tasks[id]
		switch {
		case s.closed:
			yield(driver.LogLine{}, fail(faas.ErrClosed, "closed"))
			return
		case t == nil && s.flaw == "unknown-has-no-lines":
			return
		case t == nil:
			yield(driver.LogLine{}, fail(faas.ErrNotFound, "unknown"))
			return
		}
		next := 0
		if o.Tail > 0 && s.flaw != "tail-ignored" {
			next = max(0, len(t.lines)-o.Tail)
		}
		for {
			lines, wrote := t.lines[next:], t.wrote
			next = len(t.lines)
			s.mu.Unlock()
			ok, more := emit(lines, yield), o.Follow && s.flaw != "follow-ends"
			if ok && more {
				select {
				case <-wrote:
				case <-t.gone:
					more = false
				case <-ctx.Done():
					yield(driver.LogLine{}, faas.ContextError(ctx, "sim", "logs", id))
					more = false
				}
			}
			s.mu.Lock()
			if !ok || !more {
				return
			}
		}
	}
}

func emit(lines []driver.LogLine, yield func(driver.LogLine, error) bool) bool {
	for _, l := range lines {
		if !yield(l, nil) {
			return false
		}
	}
	return true
}
