package drivertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// patience bounds every wait for what must happen; a driver that keeps its promises
// needs a small part of it, also on a busy machine.
const patience = 30 * time.Second

// fixture is one driver under test.
type fixture struct {
	testing.TB
	h    Harness
	d    driver.Driver
	ctx  context.Context
	run  string // makes ids unique across runs
	next int
}

// open opens a driver that is closed at the end, when nothing must be left of it.
func open(tb testing.TB, h Harness) *fixture {
	tb.Helper()
	f := &fixture{TB: tb, h: h, run: fmt.Sprintf("kit-%08x", rand.Uint32())}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), 4*patience)
	tb.Cleanup(cancel)
	f.ctx, f.d = ctx, h.Open(tb)
	tb.Cleanup(func() {
		f.within("Close", func() {
			if err := f.d.Close(); err != nil {
				f.Errorf("Close: %v", err)
			}
		})
		f.noLeftovers("after Close")
	})
	return f
}

// within runs what must not take forever.
func (f *fixture) within(what string, do func()) {
	f.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		f.Fatalf("%s did not return within %v", what, patience)
	}
}

// task returns a task with an id of its own.
func (f *fixture) task(b Behaviour) driver.Task {
	f.Helper()
	t := f.h.Task(f.TB, b)
	f.next++
	t.ID = fmt.Sprintf("%s-%d", f.run, f.next)
	if t.StartTimeout == 0 {
		t.StartTimeout = patience
	}
	return t
}

// start starts a task that must become ready.
func (f *fixture) start(t driver.Task) driver.Status {
	f.Helper()
	st, err := f.d.Start(f.ctx, t)
	if err != nil {
		f.Fatalf("Start %q: %v", t.ID, err)
	}
	return st
}

// serve starts a task that serves.
func (f *fixture) serve() driver.Status {
	f.Helper()
	return f.start(f.task(Serve))
}

// refused starts a task that must be refused with the class and leave nothing behind.
func (f *fixture) refused(t driver.Task, class error, why string) {
	f.Helper()
	before := f.ids()
	_, err := f.d.Start(f.ctx, t)
	f.wantClass("Start of a task with "+why, err, class)
	if after := f.ids(); !slices.Equal(before, after) {
		f.Errorf("List after a refused Start: %q, before it %q", after, before)
	}
}

// stop stops a task that must end.
func (f *fixture) stop(id string, grace time.Duration) {
	f.Helper()
	f.within("Stop", func() {
		if err := f.d.Stop(f.ctx, id, grace); err != nil {
			f.Errorf("Stop %q: %v", id, err)
		}
	})
}

func (f *fixture) list() []driver.Status {
	f.Helper()
	all, err := f.d.List(f.ctx)
	if err != nil {
		f.Fatalf("List: %v", err)
	}
	return all
}

// ids returns the sorted ids that List has.
func (f *fixture) ids() []string {
	f.Helper()
	ids := []string{}
	for _, st := range f.list() {
		ids = append(ids, st.ID)
	}
	slices.Sort(ids)
	return ids
}

// listed returns what List has of one task.
func (f *fixture) listed(id string) (driver.Status, bool) {
	f.Helper()
	for _, st := range f.list() {
		if st.ID == id {
			return st, true
		}
	}
	return driver.Status{}, false
}

// nothingLeft checks that the driver is as it was when it was opened.
func (f *fixture) nothingLeft(when string) {
	f.Helper()
	if ids := f.ids(); len(ids) > 0 {
		f.Errorf("List %s: %q, want nothing", when, ids)
	}
	f.noLeftovers(when)
}

func (f *fixture) noLeftovers(when string) {
	f.Helper()
	if f.h.Leftovers == nil {
		return
	}
	if left := f.h.Leftovers(f.TB); len(left) > 0 {
		f.Errorf("left behind %s: %q", when, left)
	}
}

func (f *fixture) wantClass(what string, err, class error) {
	f.Helper()
	if !errors.Is(err, class) {
		f.Errorf("%s: got %v, want %v", what, err, class)
	}
}

// eventually waits for what a driver has to notice by itself.
func (f *fixture) eventually(what string, ok func() bool) {
	f.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			f.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond) // the contract offers nothing to wait on here
	}
}

// call sends a request to an instance.
func (f *fixture) call(ep driver.Endpoint, path, query, body string) (*faas.Response, error) {
	req := &faas.Request{Path: path, Query: query, Body: faas.String(body)}
	if f.h.Call != nil {
		return f.h.Call(f.ctx, ep, req)
	}
	return callHTTP(f.ctx, ep, req)
}

// text calls an instance that must answer.
func (f *fixture) text(ep driver.Endpoint, path, query, body string) string {
	f.Helper()
	resp, err := f.call(ep, path, query, body)
	if err != nil {
		f.Fatalf("call %s at %s: %v", path, ep.Address, err)
	}
	text, err := resp.Body.Text()
	if err != nil || resp.StatusCode() != http.StatusOK {
		f.Fatalf("call %s at %s: status %d, body %q, error %v", path, ep.Address, resp.StatusCode(), text, err)
	}
	return text
}

// serves checks that the instance answers.
func (f *fixture) serves(st driver.Status) {
	f.Helper()
	const hello = "h\xc3\xa9llo\x00\xff"
	if got := f.text(st.Endpoint, "/echo", "", hello); got != hello {
		f.Errorf("/echo of %q: %q", hello, got)
	}
}

// provoke sends a request that the instance does not survive, so its answer is of no interest.
func (f *fixture) provoke(ep driver.Endpoint, path, query string) {
	if resp, err := f.call(ep, path, query, ""); err == nil {
		_ = resp.Body.Close()
	}
}

// callHTTP speaks HTTP/1.1 to an endpoint, over a connection of its own.
func callHTTP(ctx context.Context, ep driver.Endpoint, req *faas.Request) (*faas.Response, error) {
	u := "http://instance" + req.Path + "?" + req.Query
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u, req.Body.Reader())
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, ep.Network, ep.Address)
		}}}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	return &faas.Response{Status: resp.StatusCode, Header: resp.Header, Body: faas.Stream(resp.Body, resp.ContentLength)}, nil
}
