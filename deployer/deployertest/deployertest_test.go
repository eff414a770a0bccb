package deployertest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/internal/recordtb"
)

// double is the sim with one thing changed.
type double struct {
	*sim
	deploy func(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error)
	decide func(ctx context.Context, fn faas.Function, o *deployer.Options) (deployer.Decision, error)
}

func (d *double) Deploy(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
	return d.deploy(ctx, fn, o)
}

func (d *double) Decide(ctx context.Context, fn faas.Function, o *deployer.Options) (deployer.Decision, error) {
	return d.decide(ctx, fn, o)
}

// returns changes every instance that is deployed.
func (d *double) returns(change func(i *odd)) {
	deploy := d.deploy
	d.deploy = func(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
		inst, err := deploy(ctx, fn, o)
		if err != nil {
			return nil, err
		}
		i := &odd{Instance: inst, stop: inst.Stop, err: inst.Err, invoke: inst.Invoke, id: inst.ID()}
		change(i)
		return i, nil
	}
}

// leaves makes deployments that fail for the class leave their instance behind.
func (d *double) leaves(class error) {
	deploy := d.deploy
	d.deploy = func(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
		inst, err := deploy(ctx, fn, o)
		if errors.Is(err, class) {
			_, _ = d.sim.Deploy(context.Background(), bedOf(d.sim, d).Echo, nil)
		}
		return inst, err
	}
}

// odd is an instance with one thing changed.
type odd struct {
	faas.Instance
	id     string
	stop   func(ctx context.Context) error
	err    func() error
	invoke func(ctx context.Context, req *faas.Request) (*faas.Response, error)
}

func (i *odd) ID() string                     { return i.id }
func (i *odd) Err() error                     { return i.err() }
func (i *odd) Stop(ctx context.Context) error { return i.stop(ctx) }
func (i *odd) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	return i.invoke(ctx, req)
}

var broken = map[string]func(d *double, b *Bed){
	"deploy/returns-it-ready": func(d *double, _ *Bed) { // not ready for the first call
		d.returns(func(i *odd) {
			invoke, called := i.invoke, false
			i.invoke = func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
				if !called {
					called = true
					return nil, simFailure(faas.ErrUnavailable, "connection refused")
				}
				return invoke(ctx, req)
			}
		})
	},
	"deploy/one-instance-each": func(d *double, _ *Bed) { // hands out the same again
		var one faas.Instance
		deploy := d.deploy
		d.deploy = func(ctx context.Context, fn faas.Function, o *deployer.Options) (inst faas.Instance, err error) {
			if one == nil {
				one, err = deploy(ctx, fn, o)
			}
			return one, err
		}
	},
	"deploy/accounts-its-time": func(d *double, _ *Bed) {
		deploy := d.deploy
		d.deploy = func(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
			return deploy(faas.WithTiming(ctx, nil), fn, o)
		}
	},
	"deploy/many-at-once": func(d *double, _ *Bed) { // ids are not unique
		d.returns(func(i *odd) { i.id = i.id[:1] })
	},
	"deploy/arguments-stay-as-they-are": func(d *double, _ *Bed) {
		deploy := d.deploy
		d.deploy = func(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
			if o != nil {
				for k, v := range o.Labels {
					fn.Spec.Labels[k] = v
				}
			}
			return deploy(ctx, fn, o)
		}
	},
	"failure/invalid": func(d *double, _ *Bed) { // ignores constraints
		deploy := d.deploy
		d.deploy = func(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
			if o != nil && len(o.Constraints) > 0 {
				o = nil
			}
			return deploy(ctx, fn, o)
		}
	},
	"failure/nobody-offers-it": func(d *double, _ *Bed) { // takes what there is
		deploy := d.deploy
		d.deploy = func(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
			return deploy(ctx, fn, nil)
		}
	},
	"failure/no-capacity": func(d *double, _ *Bed) { // waits for room until the start timeout
		deploy := d.deploy
		d.deploy = func(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
			inst, err := deploy(ctx, fn, o)
			if errors.Is(err, faas.ErrExhausted) {
				<-time.After(fn.Spec.StartTimeout)
			}
			return inst, err
		}
	},
	"failure/does-not-start": func(d *double, _ *Bed) { d.leaves(faas.ErrFunction) },
	"failure/start-timeout": func(d *double, _ *Bed) { // waits as long as the caller
		deploy := d.deploy
		d.deploy = func(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
			fn.Spec.StartTimeout = max(fn.Spec.StartTimeout, time.Minute)
			return deploy(ctx, fn, o)
		}
	},
	"failure/canceled": func(d *double, _ *Bed) { d.leaves(faas.ErrCanceled) },
	"failure/deadline": func(d *double, _ *Bed) { // takes every end of the context for a cancel
		deploy := d.deploy
		d.deploy = func(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
			inst, err := deploy(ctx, fn, o)
			if ctx.Err() != nil {
				return inst, simFailure(faas.ErrCanceled, "canceled")
			}
			return inst, err
		}
	},
	"stop/leaves-nothing": func(d *double, _ *Bed) { // does not wait
		d.returns(func(i *odd) {
			stop := i.stop
			i.stop = func(ctx context.Context) error {
				time.AfterFunc(time.Millisecond, func() { _ = stop(ctx) })
				return nil
			}
		})
	},
	"stop/twice": func(d *double, _ *Bed) { // knows of the first only
		d.returns(func(i *odd) {
			stop := i.stop
			i.stop = func(ctx context.Context) error {
				if d.sim.count(nil) == 0 {
					return simFailure(faas.ErrNotFound, "no such instance")
				}
				return stop(ctx)
			}
		})
	},
	"stop/goes-on-when-canceled": func(d *double, _ *Bed) {
		d.returns(func(i *odd) {
			stop := i.stop
			i.stop = func(ctx context.Context) error {
				if ctx.Err() != nil {
					return faas.ContextError(ctx, "sim", "stop", "")
				}
				return stop(ctx)
			}
		})
	},
	"end/by-itself": func(d *double, _ *Bed) {
		d.returns(func(i *odd) { i.err = func() error { return nil } })
	},
	"decide/explains-and-deploys-nothing": func(d *double, b *Bed) {
		decide := d.decide
		d.decide = func(ctx context.Context, fn faas.Function, o *deployer.Options) (deployer.Decision, error) {
			_, _ = d.deploy(ctx, fn, o)
			return decide(ctx, fn, o)
		}
	},
	"decide/requester-before-function": func(d *double, _ *Bed) { // all or nothing
		decide := d.decide
		d.decide = func(ctx context.Context, fn faas.Function, o *deployer.Options) (deployer.Decision, error) {
			if o != nil {
				fn.Spec.Requests = o.Requests
			}
			return decide(ctx, fn, o)
		}
	},
	"decide/isolation-is-only-raised": func(d *double, _ *Bed) { // the requester decides
		decide := d.decide
		d.decide = func(ctx context.Context, fn faas.Function, o *deployer.Options) (deployer.Decision, error) {
			if o != nil {
				fn.Spec.Isolation = o.Isolation
			}
			return decide(ctx, fn, o)
		}
	},
	"decide/refuses-what-deploy-refuses": func(d *double, _ *Bed) {
		decide := d.decide
		d.decide = func(ctx context.Context, fn faas.Function, o *deployer.Options) (deployer.Decision, error) {
			return decide(context.WithoutCancel(ctx), fn, o)
		}
	},
	"shutdown/stops-everything": func(d *double, b *Bed) { // leaves what runs alone
		b.Shutdown = func(context.Context) error {
			select {
			case <-d.closing:
			default:
				close(d.closing)
			}
			return nil
		}
	},
}

func TestKitFindsEveryBrokenPromise(t *testing.T) {
	left := make(map[string]bool)
	for name := range broken {
		left[name] = true
	}
	for _, c := range clauses() {
		spoil := broken[c.Name]
		if spoil == nil {
			t.Errorf("%s: there is no double that breaks it", c.Name)
			continue
		}
		delete(left, c.Name)
		t.Run(c.Name, func(t *testing.T) {
			run := func(spoil func(*double, *Bed)) (r *recordtb.Recorder) {
				synctest.Test(t, func(t *testing.T) {
					s := newSim()
					d := &double{sim: s, deploy: s.Deploy, decide: s.Decide}
					b := bedOf(s, d)
					spoil(d, &b)
					r = recordtb.Run(t, func(tb testing.TB) { c.Check(tb, b) })
					_ = s.shutdown(context.Background())
				})
				return r
			}
			if r := run(spoil); !r.Failed() {
				t.Error("the kit passes a deployer that breaks this promise")
			}
			if r := run(func(*double, *Bed) {}); r.Failed() || r.Skipped() {
				t.Errorf("the kit does not pass a correct deployer:\n%s", r.Recorded())
			}
		})
	}
	for name := range left {
		t.Errorf("%s is no clause", name)
	}
}

// A clause whose function or power is missing is skipped, and no other.
func TestWhatIsMissingIsSkipped(t *testing.T) {
	skipped := make(map[string]bool)
	for _, c := range clauses() {
		synctest.Test(t, func(t *testing.T) {
			s := newSim()
			b := bedOf(s, struct{ deployer.Deployer }{s})
			b.Exit, b.Broken, b.Hang, b.Full, b.Shutdown = faas.Function{}, faas.Function{}, faas.Function{}, faas.Function{}, nil
			r := recordtb.Run(t, func(tb testing.TB) { c.Check(tb, b) })
			skipped[c.Name] = r.Skipped()
			if r.Failed() {
				t.Errorf("%s: %s", c.Name, r.Recorded())
			}
		})
	}
	for _, c := range clauses() {
		group := c.Name[:4]
		want := group == "deci" || group == "shut" || group == "end/" ||
			group == "fail" && c.Name != "failure/invalid" && c.Name != "failure/nobody-offers-it"
		if skipped[c.Name] != want {
			t.Errorf("%s: skipped is %v, want %v", c.Name, skipped[c.Name], want)
		}
	}
}
