package routertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/router"
)

// world is one router with the kit's functions and instances around it.
type world struct {
	testing.TB
	router.Router
	fleet *fleet
	ref   faas.Ref
}

// build opens a router over one function, default/f, of the given spec.
func build(tb testing.TB, h Harness, spec faas.Spec, c Config) *world {
	tb.Helper()
	spec.Contract, spec.Command = faas.ContractHandler, []string{"f"}
	w := &world{TB: tb, fleet: &fleet{jobs: map[string]*job{}}, ref: faas.Ref{Namespace: "default", Name: "f"}}
	c.Resolver, c.Deployer = catalogue{spec}, w.fleet
	w.Router = h.Open(tb, c)
	tb.Cleanup(func() { _ = w.down() }) // also where the clause failed before its own Shutdown
	return w
}

func (w *world) down() error {
	w.fleet.releaseAll()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return w.Shutdown(ctx)
}

// begin is build and Start; at the end of the clause Shutdown has to leave nothing behind.
func begin(tb testing.TB, h Harness, spec faas.Spec, c Config) *world {
	tb.Helper()
	w := build(tb, h, spec, c)
	if err := w.Start(tb.Context()); err != nil {
		tb.Fatalf("Start: %v", err)
	}
	tb.Cleanup(func() {
		if err := w.down(); err != nil {
			tb.Errorf("Shutdown: %v", err)
		}
		w.fleet.verify(tb)
	})
	return w
}

// catalogue resolves default/f: version 1, 2 = latest, and the alias "live" = 1.
type catalogue struct{ spec faas.Spec }

func (c catalogue) Get(_ context.Context, ref faas.Ref) (faas.Function, error) {
	ref = ref.WithDefaults()
	version, ok := map[string]string{"": "2", "1": "1", "2": "2", "live": "1"}[ref.Version]
	if !ok || ref.Name != "f" || ref.Namespace != "default" {
		return faas.Function{}, faas.Errorf("registry", "get", ref.String(), faas.ErrNotFound, "no such function")
	}
	ref.Version = version
	return faas.Function{Ref: ref, Spec: c.spec, Revision: 1}, nil
}

// pending is a call on its way.
type pending struct {
	done chan struct{}
	resp *faas.Response
	err  error
}

// call invokes default/f in the background. A request whose id begins with "hold" is held by the instance.
func (w *world) call(ctx context.Context, id string) *pending {
	return w.send(ctx, &faas.Request{Function: w.ref, ID: id})
}

func (w *world) send(ctx context.Context, req *faas.Request) *pending {
	p := &pending{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.resp, p.err = w.Invoke(ctx, req)
	}()
	return p
}

// end waits for the call.
func (w *world) end(p *pending) (*faas.Response, error) {
	w.Helper()
	wait(w, "the end of a call", p.done)
	return p.resp, p.err
}

// ok waits for the call and returns the instance that answered.
func (w *world) ok(p *pending) string {
	w.Helper()
	resp, err := w.end(p)
	if err != nil {
		w.Fatalf("a call failed: %v", err)
	}
	text, err := resp.Body.Text()
	if err != nil {
		w.Fatalf("a call's body: %v", err)
	}
	return text
}

// is waits for the call and checks the class of its error.
func (w *world) is(p *pending, class error) error {
	w.Helper()
	if _, err := w.end(p); !errors.Is(err, class) {
		w.Fatalf("a call ended with %v, want the class %q", err, class)
	}
	return p.err
}

// load returns the load of the function's latest version.
func (w *world) load() (l router.Load) {
	for l := range w.Loads() {
		if l.Function.Ref.Version == "2" {
			return l
		}
	}
	return router.Load{Wanted: -1}
}

// until waits for the condition.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	until(w, what, ok)
}

func (w *world) queued(n int) {
	w.Helper()
	w.until(fmt.Sprintf("%d in the queue", n), func() bool { return w.load().Queued == n })
}

func (w *world) scale(n int) {
	w.Helper()
	if err := w.Scale(w.Context(), w.ref, n, "the kit asks"); err != nil {
		w.Fatalf("Scale(%d): %v", n, err)
	}
}

// scaled scales up and waits until the instances are there.
func (w *world) scaled(n int) {
	w.Helper()
	w.scale(n)
	w.until(fmt.Sprintf("%d instances ready", n), func() bool { return w.load().Ready == n })
}

func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(Patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("waited %v in vain for %s", Patience, what)
		}
		<-tick.C
	}
}

func wait(tb testing.TB, what string, done <-chan struct{}) {
	tb.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		tb.Fatalf("waited %v in vain for %s", Patience, what)
	}
}

// fleet deploys the kit's instances and watches how they are treated.
type fleet struct {
	mu       sync.Mutex
	units    []*unit
	deploys  int // calls of Deploy
	aborted  int // of them, cancelled before ready
	live     int // instances, and starts that may become one
	peak     int // the most there were
	handled  int // requests that reached an instance
	wrongs   []string
	jobs     map[string]*job
	open     bool                                                                          // nothing is held any more
	gate     chan struct{}                                                                 // not nil: a start waits for it
	failWith func(n int) error                                                             // the n-th start fails
	phases   func(t *faas.Timing)                                                          // what a start reports
	serve    func(ctx context.Context, u *unit, req *faas.Request) (*faas.Response, error) // nil: the default
}

// job is a held request.
type job struct {
	u       *unit
	ctx     context.Context
	release chan struct{}
	once    sync.Once
}

func (j *job) finish() { j.once.Do(func() { close(j.release) }) }

// serving changes how instances answer; nil is the default.
func (d *fleet) serving(serve func(ctx context.Context, u *unit, req *faas.Request) (*faas.Response, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.serve = serve
}

func (d *fleet) wrong(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wrongs = append(d.wrongs, fmt.Sprintf(format, args...))
}

// verify reports every instance that was mistreated or left behind.
func (d *fleet) verify(tb testing.TB) {
	tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.wrongs {
		tb.Error(s)
	}
	if d.live != 0 {
		tb.Errorf("%d instances are left behind", d.live)
	}
}

func (d *fleet) count(get func(d *fleet) int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return get(d)
}

func (d *fleet) started() int { return d.count(func(d *fleet) int { return d.deploys }) }
func (d *fleet) alive() int   { return d.count(func(d *fleet) int { return d.live }) }

func (d *fleet) most() int { return d.count(func(d *fleet) int { return d.peak }) }

func (d *fleet) all() []*unit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*unit(nil), d.units...)
}

// releaseAll releases every held request; none is held any more.
func (d *fleet) releaseAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = true
	for _, j := range d.jobs {
		j.finish()
	}
	d.serve = nil
}

// job waits until the request of that id is held by an instance.
func (w *world) job(id string) (j *job) {
	w.Helper()
	w.until("request "+id+" at an instance", func() bool {
		w.fleet.mu.Lock()
		defer w.fleet.mu.Unlock()
		j = w.fleet.jobs[id]
		return j != nil
	})
	return j
}

func (d *fleet) Deploy(ctx context.Context, fn faas.Function, _ *deployer.Options) (faas.Instance, error) {
	d.mu.Lock()
	d.deploys++
	n, gate, fail, phases := d.deploys, d.gate, d.failWith, d.phases
	d.live++
	d.peak = max(d.peak, d.live)
	d.mu.Unlock()
	undo := func(err error) (faas.Instance, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.live--
		return nil, err
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			d.mu.Lock()
			d.aborted++
			d.mu.Unlock()
			return undo(faas.ContextError(ctx, "deployer", "deploy", fn.Ref.String()))
		}
	}
	if fail != nil {
		if err := fail(n); err != nil {
			return undo(err)
		}
	}
	if phases != nil {
		phases(faas.TimingFrom(ctx))
	}
	u := &unit{fleet: d, id: fmt.Sprintf("unit-%d", n), version: fn.Ref.Version, done: make(chan struct{}), halt: make(chan struct{}), limit: fn.Spec.MaxPerInstance()}
	d.mu.Lock()
	d.units = append(d.units, u)
	d.mu.Unlock()
	return u, nil
}

// unit is one of the kit's instances.
type unit struct {
	fleet   *fleet
	id      string
	version string
	limit   int
	done    chan struct{}
	halt    chan struct{} // closed with done: cuts what is in flight

	mu      sync.Mutex
	busy    int
	handled int
	stopped bool
	err     error
}

func (u *unit) ID() string            { return u.id }
func (u *unit) Done() <-chan struct{} { return u.done }

func (u *unit) Err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func (u *unit) requests() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.handled
}

func (u *unit) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	u.mu.Lock()
	if u.stopped {
		ended := u.err
		u.mu.Unlock()
		if ended == nil {
			u.fleet.wrong("instance %s got a request after it was stopped", u.id)
		}
		return nil, faas.Errorf("deployer", "invoke", u.id, faas.ErrUnavailable, "the instance is gone")
	}
	u.busy++
	u.handled++
	if u.busy > u.limit {
		u.fleet.wrong("instance %s has %d requests in flight, its concurrency is %d", u.id, u.busy, u.limit)
	}
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		u.busy--
		u.mu.Unlock()
	}()

	d := u.fleet
	d.mu.Lock()
	d.handled++
	serve := d.serve
	d.mu.Unlock()
	if serve != nil {
		return serve(ctx, u, req)
	}
	return u.answer(ctx, req)
}

// answer is the default: the instance's id, at once or when the held request is released.
func (u *unit) answer(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	if strings.HasPrefix(req.ID, "hold") {
		j := &job{u: u, ctx: ctx, release: make(chan struct{})}
		u.fleet.mu.Lock()
		u.fleet.jobs[req.ID] = j
		if u.fleet.open {
			j.finish()
		}
		u.fleet.mu.Unlock()
		select {
		case <-j.release:
		case <-ctx.Done():
			return nil, faas.ContextError(ctx, "deployer", "invoke", u.id)
		case <-u.halt:
			return nil, faas.Errorf("deployer", "invoke", u.id, faas.ErrFunction, "cut by the end of the instance")
		}
	}
	return &faas.Response{Body: faas.String(u.id)}, nil
}

func (u *unit) Stop(context.Context) error {
	u.leave(nil)
	return nil
}

// kill ends the instance as a crash does.
func (u *unit) kill() {
	u.leave(faas.Errorf("deployer", "run", u.id, faas.ErrFunction, "crashed"))
}

func (u *unit) leave(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped {
		return
	}
	u.stopped, u.err = true, err
	close(u.halt)
	close(u.done)
	u.fleet.mu.Lock()
	defer u.fleet.mu.Unlock()
	u.fleet.live--
	if u.busy > 0 && err == nil {
		u.fleet.wrongs = append(u.fleet.wrongs, fmt.Sprintf("instance %s was stopped with %d requests in flight", u.id, u.busy))
	}
}
