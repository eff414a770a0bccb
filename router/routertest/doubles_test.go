package routertest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/internal/recordtb"
	"github.com/joinery/faas/router"
	"github.com/joinery/faas/router/memrouter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open is the correct router that the doubles break.
func open(tb testing.TB, c Config) router.Router {
	r, err := memrouter.New(memrouter.Config{
		Resolver: c.Resolver, Deployer: c.Deployer, QueueDepth: c.QueueDepth, QueueBytes: c.QueueBytes,
	})
	require.NoError(tb, err)
	return r
}

// TestKitFindsBrokenRouters runs every clause against a router that breaks its promise and no more than that.
func TestKitFindsBrokenRouters(t *testing.T) {
	doubles := doubles()
	for _, c := range clauses() {
		t.Run(c.name, func(t *testing.T) {
			broken := doubles[c.name]
			require.NotEmpty(t, broken, "a clause without a double proves nothing")
			for i, open := range broken {
				synctest.Test(t, func(t *testing.T) {
					r := recordtb.Run(t, func(tb testing.TB) { c.check(tb, Harness{Open: open}) })
					assert.True(t, r.Failed(), "the kit passes double %d", i)
				})
			}
		})
	}
}

// TestKitPassesAWrappedRouter: a decorator that changes nothing is a router again.
func TestKitPassesAWrappedRouter(t *testing.T) {
	Run(t, Harness{
		Open: func(tb testing.TB, c Config) router.Router { return &double{Router: open(tb, c)} },
		Skip: map[string]string{"lifecycle/shutdown-cut-short": "to show that a reason is accepted"},
	})
}

type opener = func(tb testing.TB, c Config) router.Router

// double is a router with some methods replaced.
type double struct {
	router.Router
	invoke   func(ctx context.Context, req *faas.Request) (*faas.Response, error)
	scale    func(ctx context.Context, fn faas.Ref, n int, why string) error
	loads    func(l *router.Load)
	start    func(ctx context.Context) error
	shutdown func(ctx context.Context) error
}

func (d *double) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	if d.invoke != nil {
		return d.invoke(ctx, req)
	}
	return d.Router.Invoke(ctx, req)
}

func (d *double) Scale(ctx context.Context, fn faas.Ref, n int, why string) error {
	if d.scale != nil {
		return d.scale(ctx, fn, n, why)
	}
	return d.Router.Scale(ctx, fn, n, why)
}

func (d *double) Loads() iter.Seq[router.Load] {
	return func(yield func(router.Load) bool) {
		for l := range d.Router.Loads() {
			if d.loads != nil {
				d.loads(&l)
			}
			if !yield(l) {
				return
			}
		}
	}
}

func (d *double) Start(ctx context.Context) error {
	if d.start != nil {
		return d.start(ctx)
	}
	return d.Router.Start(ctx)
}

func (d *double) Shutdown(ctx context.Context) error {
	if d.shutdown != nil {
		return d.shutdown(ctx)
	}
	return d.Router.Shutdown(ctx)
}

// with breaks methods of the correct router.
func with(change func(d *double)) opener {
	return func(tb testing.TB, c Config) router.Router {
		d := &double{Router: open(tb, c)}
		change(d)
		return d
	}
}

// respec shows the router another spec than the kit's.
func respec(change func(s *faas.Spec)) opener {
	return func(tb testing.TB, c Config) router.Router {
		inner := c.Resolver
		c.Resolver = resolver(func(ctx context.Context, ref faas.Ref) (faas.Function, error) {
			fn, err := inner.Get(ctx, ref)
			change(&fn.Spec)
			return fn, err
		})
		return open(tb, c)
	}
}

type resolver func(ctx context.Context, ref faas.Ref) (faas.Function, error)

func (f resolver) Get(ctx context.Context, ref faas.Ref) (faas.Function, error) { return f(ctx, ref) }

// redeploy puts a deployer before the kit's.
func redeploy(deploy func(ctx context.Context, fn faas.Function, inner deployer.Deployer) (faas.Instance, error)) opener {
	return func(tb testing.TB, c Config) router.Router {
		c.Deployer = deploys{c.Deployer, deploy}
		return open(tb, c)
	}
}

type deploys struct {
	inner  deployer.Deployer
	deploy func(ctx context.Context, fn faas.Function, inner deployer.Deployer) (faas.Instance, error)
}

func (d deploys) Deploy(ctx context.Context, fn faas.Function, _ *deployer.Options) (faas.Instance, error) {
	return d.deploy(ctx, fn, d.inner)
}

// patched is an instance with Invoke or Done replaced.
type patched struct {
	faas.Instance
	invoke func(ctx context.Context, req *faas.Request) (*faas.Response, error)
	done   chan struct{}
}

func (p *patched) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	if p.invoke != nil {
		return p.invoke(ctx, req)
	}
	return p.Instance.Invoke(ctx, req)
}

func (p *patched) Done() <-chan struct{} {
	if p.done != nil {
		return p.done
	}
	return p.Instance.Done()
}

// reclass changes the class of errors, and what they wrap, on their way out.
func reclass(from, to error) opener {
	return with(func(d *double) {
		d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
			resp, err := d.Router.Invoke(ctx, req)
			if errors.Is(err, from) {
				err = faas.Errorf("router", "invoke", "", to, "%v", err)
			}
			return resp, err
		}
	})
}

// again sends a request again that ended with the class, so many times.
func again(class error, times int) opener {
	return with(func(d *double) {
		d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
			resp, err := d.Router.Invoke(ctx, req)
			for range times {
				if errors.Is(err, class) {
					resp, err = d.Router.Invoke(ctx, req)
				}
			}
			return resp, err
		}
	})
}

var deaf = with(func(d *double) { // deaf to the caller's context
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		return d.Router.Invoke(context.WithoutCancel(ctx), req)
	}
})

// doubles names, for every clause, routers that break that promise.
func doubles() map[string][]opener {
	twice := respec(func(s *faas.Spec) { s.Concurrency = 2 * s.MaxPerInstance() })
	return map[string][]opener{
		"resolve/unknown-is-not-found":         {reclass(faas.ErrNotFound, faas.ErrInternal)},
		"resolve/versions-and-aliases":         {with(latestOnly), with(firstOnly)},
		"answer/passed-through":                {with(fiveHundredIsAnError), reclass(faas.ErrFunction, faas.ErrUnavailable)},
		"queue/first-in-first-out":             {stack},
		"queue/bounded-by-depth":               {unbounded, reclass(faas.ErrExhausted, faas.ErrUnavailable), reclass(faas.ErrExhausted, faas.ErrExhausted)},
		"queue/bounded-by-bytes":               {unbounded},
		"queue/left-at-the-deadline":           {deaf, reclass(faas.ErrTimeout, faas.ErrCanceled), respec(func(s *faas.Spec) { s.Timeout = 0 })},
		"queue/left-when-cancelled":            {deaf, reclass(faas.ErrCanceled, faas.ErrTimeout)},
		"slots/late-binding":                   {bundle(2)},
		"slots/concurrency-limit":              {twice, respec(func(s *faas.Spec) { s.Concurrency = 1 })},
		"slots/least-outstanding":              {bundle(4)},
		"slots/stream-holds-its-slot":          {twice, with(readsBodies)},
		"deadline/function-timeout-travels":    {deaf, respec(func(s *faas.Spec) { s.Timeout = 0 })},
		"deadline/cancel-reaches-the-function": {deaf, with(returnsAlone)},
		"start/coalesced-exactly":              {respec(func(s *faas.Spec) { s.Concurrency = 1 }), respec(func(s *faas.Spec) { s.Scale.Max = 0 }), with(prestarts)},
		"start/shared-by-waiters":              {firstCallerOwnsStart},
		"start/abandoned-is-cancelled":         {redeploy(deafStart)},
		"start/failure-is-told":                {redeploy(silentFailure), reclass(faas.ErrFunction, faas.ErrUnavailable)},
		"start/failure-backs-off":              {redeploy(stubbornStart), reclass(errBroken, faas.ErrFunction)},
		"retry/only-unreached":                 {redeploy(allReached)},
		"retry/at-most-once":                   {again(faas.ErrFunction, 1), again(faas.ErrUnavailable, 1)},
		"retry/bounded":                        {again(faas.ErrUnavailable, 20), redeploy(allReached)},
		"scale/up-and-down":                    {with(neverDown), with(anyScale), respec(func(s *faas.Spec) { s.Scale.Max = 0 })},
		"scale/drains-before-stop":             {hasty},
		"scale/idle-first":                     {hasty},
		"scale/to-zero-races-calls":            {hasty},
		"health/ended-instance-is-replaced":    {redeploy(undead), respec(func(s *faas.Spec) { s.Scale.Max = 0 })},
		"health/last-is-never-ejected":         {with(breaker), redeploy(diesAfterFive)},
		"observe/timings":                      {with(untimed), redeploy(unphased)},
		"observe/loads":                        {with(func(d *double) { d.loads = func(l *router.Load) { l.Queued = 0 } }), with(func(d *double) { d.loads = func(l *router.Load) { l.Completed = l.Arrived } }), with(showsUncalled)},
		"lifecycle/closed-around":              {with(alwaysOpen), with(shutTwice)},
		"lifecycle/shutdown-drains":            {with(abrupt)},
		"lifecycle/shutdown-cut-short":         {with(patient)},
	}
}

func latestOnly(d *double) {
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		r := *req
		r.Function.Version = ""
		return d.Router.Invoke(ctx, &r)
	}
}

func firstOnly(d *double) {
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		r := *req
		r.Function.Version = "1"
		return d.Router.Invoke(ctx, &r)
	}
}

// showsUncalled shows a load for a function that nobody called.
func showsUncalled(d *double) {
	inner := d.Router.Start
	d.start = func(ctx context.Context) error {
		return errors.Join(inner(ctx), d.Router.Scale(ctx, faas.Ref{Name: "f"}, 0, ""))
	}
}

func fiveHundredIsAnError(d *double) {
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		resp, err := d.Router.Invoke(ctx, req)
		if err == nil && resp.StatusCode() >= 500 {
			return nil, faas.Errorf("router", "invoke", "", faas.ErrFunction, "status %d", resp.StatusCode())
		}
		return resp, err
	}
}

func unbounded(tb testing.TB, c Config) router.Router {
	c.QueueDepth, c.QueueBytes = 0, 0
	return open(tb, c)
}

func readsBodies(d *double) {
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		resp, err := d.Router.Invoke(ctx, req)
		if err != nil {
			return nil, err
		}
		text, err := resp.Body.Text()
		return &faas.Response{Body: faas.String(text)}, err
	}
}

// returnsAlone gives up with the caller but leaves the function running.
func returnsAlone(d *double) {
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		type result struct {
			resp *faas.Response
			err  error
		}
		done := make(chan result, 1)
		go func() {
			resp, err := d.Router.Invoke(context.WithoutCancel(ctx), req)
			done <- result{resp, err}
		}()
		select {
		case r := <-done:
			return r.resp, r.err
		case <-ctx.Done():
			return nil, faas.ContextError(ctx, "double", "invoke", "")
		}
	}
}

func prestarts(d *double) {
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		_ = d.Router.Scale(ctx, req.Function, 9, "just in case")
		return d.Router.Invoke(ctx, req)
	}
}

func firstCallerOwnsStart(tb testing.TB, c Config) router.Router {
	var first atomic.Pointer[context.Context]
	c.Deployer = deploys{c.Deployer, func(ctx context.Context, fn faas.Function, inner deployer.Deployer) (faas.Instance, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(*first.Load(), cancel)()
		return inner.Deploy(ctx, fn, nil)
	}}
	d := &double{Router: open(tb, c)}
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		first.CompareAndSwap(nil, &ctx)
		return d.Router.Invoke(ctx, req)
	}
	return d
}

func deafStart(ctx context.Context, fn faas.Function, inner deployer.Deployer) (faas.Instance, error) {
	return inner.Deploy(context.WithoutCancel(ctx), fn, nil)
}

func silentFailure(ctx context.Context, fn faas.Function, inner deployer.Deployer) (faas.Instance, error) {
	inst, err := inner.Deploy(ctx, fn, nil)
	if err != nil {
		err = faas.Errorf("router", "start", "", faas.ErrFunction, "it did not start")
	}
	return inst, err
}

func stubbornStart(ctx context.Context, fn faas.Function, inner deployer.Deployer) (inst faas.Instance, err error) {
	for range 5 {
		if inst, err = inner.Deploy(ctx, fn, nil); err == nil {
			break
		}
	}
	return inst, err
}

// allReached hides that a request never reached its instance.
func allReached(ctx context.Context, fn faas.Function, inner deployer.Deployer) (faas.Instance, error) {
	inst, err := inner.Deploy(ctx, fn, nil)
	if err != nil {
		return nil, err
	}
	return &patched{Instance: inst, invoke: func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		resp, err := inst.Invoke(ctx, req)
		if errors.Is(err, faas.ErrUnavailable) {
			err = faas.Errorf("double", "invoke", "", faas.ErrFunction, "%v", err)
		}
		return resp, err
	}}, nil
}

func undead(ctx context.Context, fn faas.Function, inner deployer.Deployer) (faas.Instance, error) {
	inst, err := inner.Deploy(ctx, fn, nil)
	if err != nil {
		return nil, err
	}
	return &patched{Instance: inst, done: make(chan struct{})}, nil
}

func diesAfterFive(ctx context.Context, fn faas.Function, inner deployer.Deployer) (faas.Instance, error) {
	inst, err := inner.Deploy(ctx, fn, nil)
	if err != nil {
		return nil, err
	}
	var failed atomic.Int64
	return &patched{Instance: inst, invoke: func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		resp, err := inst.Invoke(ctx, req)
		if err != nil && failed.Add(1) == 5 {
			_ = inst.Stop(context.WithoutCancel(ctx))
		}
		return resp, err
	}}, nil
}

func neverDown(d *double) {
	most := 0
	d.scale = func(ctx context.Context, fn faas.Ref, n int, why string) error {
		most = max(most, n)
		return d.Router.Scale(ctx, fn, most, why)
	}
}

func anyScale(d *double) {
	d.scale = func(ctx context.Context, fn faas.Ref, n int, why string) error {
		return d.Router.Scale(ctx, fn, max(n, 0), why)
	}
}

// breaker refuses everything for a while after five failures.
func breaker(d *double) {
	var failed atomic.Int64
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		if failed.Load() >= 5 {
			return nil, faas.Errorf("router", "invoke", "", faas.ErrExhausted, "the breaker is open")
		}
		resp, err := d.Router.Invoke(ctx, req)
		if err != nil {
			failed.Add(1)
		}
		return resp, err
	}
}

func untimed(d *double) {
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		r := *req
		r.Timing = nil
		return d.Router.Invoke(ctx, &r)
	}
}

func unphased(ctx context.Context, fn faas.Function, inner deployer.Deployer) (faas.Instance, error) {
	return inner.Deploy(faas.WithTiming(ctx, nil), fn, nil)
}

// alwaysOpen is started by its constructor, so to say.
func alwaysOpen(d *double) {
	var once sync.Once
	var err error
	inner := d.Router.Start
	d.start = func(ctx context.Context) error {
		once.Do(func() { err = inner(ctx) })
		return err
	}
	d.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		if err := d.Start(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
		return d.Router.Invoke(ctx, req)
	}
}

func shutTwice(d *double) {
	var n atomic.Int64
	d.shutdown = func(ctx context.Context) error {
		if n.Add(1) > 1 {
			return errClosedTwice
		}
		return d.Router.Shutdown(ctx)
	}
}

var errClosedTwice = faas.Errorf("router", "shut down", "", faas.ErrClosed, "twice")

// abrupt does not wait for what is in flight.
func abrupt(d *double) {
	d.shutdown = func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return d.Router.Shutdown(ctx)
	}
}

// patient waits longer than it was told.
func patient(d *double) {
	d.shutdown = func(ctx context.Context) error {
		longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*Patience)
		defer cancel()
		if err := d.Router.Shutdown(longer); err != nil {
			return fmt.Errorf("%w", err)
		}
		return nil
	}
}
