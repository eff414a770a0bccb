package deployertest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
)

// sim is the least correct deployer: its instances are entries of a map, and the first
// element of a function's Command says how it behaves.
type sim struct {
	mu        sync.Mutex
	last      int
	instances map[string]*simInstance
	closing   chan struct{}
}

type simInstance struct {
	s    *sim
	id   string
	does string
	done chan struct{}
	once sync.Once
	err  error // set before done is closed
}

func newSim() *sim {
	return &sim{instances: make(map[string]*simInstance), closing: make(chan struct{})}
}

func simFailure(class error, text string) error {
	return faas.Errorf("sim", "deploy", "", class, "%s", text)
}

func (s *sim) check(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Spec, error) {
	select {
	case <-s.closing:
		return faas.Spec{}, simFailure(faas.ErrClosed, "closed")
	default:
	}
	if ctx.Err() != nil {
		return faas.Spec{}, faas.ContextError(ctx, "sim", "deploy", "")
	}
	if o == nil {
		o = &deployer.Options{}
	}
	spec := fn.Spec
	spec.Isolation = max(spec.Isolation, o.Isolation)
	spec.Driver = o.Driver
	for _, f := range []struct{ to, from *int64 }{
		{&spec.Requests.MilliCPU, &o.Requests.MilliCPU}, {&spec.Requests.Memory, &o.Requests.Memory},
		{&spec.Requests.Pids, &o.Requests.Pids}, {&spec.Limits.Memory, &o.Limits.Memory},
	} {
		if *f.from != 0 {
			*f.to = *f.from
		}
	}
	bad := fn.Ref.Validate() != nil || spec.Validate() != nil || len(o.Constraints) > 0 || len(o.Env) > 0 && o.Env["MORE"] == ""
	switch {
	case bad:
		return spec, simFailure(faas.ErrInvalidArgument, "bad")
	case spec.Contract != faas.ContractHandler, spec.Driver != "" && spec.Driver != "sim", spec.Isolation > 0:
		return spec, simFailure(faas.ErrUnimplemented, fmt.Sprintf("no %q with driver %q at %v", spec.Contract, spec.Driver, spec.Isolation))
	}
	return spec, nil
}

func (s *sim) Decide(ctx context.Context, fn faas.Function, o *deployer.Options) (deployer.Decision, error) {
	spec, err := s.check(ctx, fn, o)
	return deployer.Decision{Driver: "sim", Contract: spec.Contract, Requests: spec.Requests, Limits: spec.Limits, Reasons: []string{"there is no other"}}, err
}

func (s *sim) Deploy(ctx context.Context, fn faas.Function, o *deployer.Options) (faas.Instance, error) {
	spec, err := s.check(ctx, fn, o)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.last++
	i := &simInstance{s: s, id: fmt.Sprint("i", s.last), does: spec.Command[0], done: make(chan struct{})}
	s.instances[i.id] = i
	s.mu.Unlock()
	start := time.NewTimer(spec.StartTimeout)
	defer start.Stop()
	switch i.does {
	case "full":
		err = simFailure(faas.ErrExhausted, "no room")
	case "broken":
		err = simFailure(faas.ErrFunction, "it ended")
	case "hang":
		select {
		case <-ctx.Done():
			err = faas.ContextError(ctx, "sim", "deploy", "")
		case <-s.closing:
			err = simFailure(faas.ErrClosed, "closed")
		case <-start.C:
			err = simFailure(faas.ErrTimeout, "not ready")
		}
	}
	if err != nil {
		_ = i.Stop(ctx)
		return nil, err
	}
	<-time.After(time.Nanosecond) // a start takes time, in a bubble too
	faas.TimingFrom(ctx).Add(faas.PhaseStart, time.Nanosecond)
	return i, nil
}

func (s *sim) shutdown(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closing:
	default:
		close(s.closing)
	}
	for _, i := range s.instances {
		i.end(nil)
	}
	clear(s.instances)
	return nil
}

func (s *sim) count(testing.TB) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.instances)
}

func (i *simInstance) Invoke(_ context.Context, req *faas.Request) (*faas.Response, error) {
	select {
	case <-i.done:
		return nil, simFailure(faas.ErrUnavailable, "gone")
	default:
	}
	if i.does == "exit" {
		i.end(simFailure(faas.ErrFunction, "exited"))
		return nil, i.err
	}
	return &faas.Response{Body: req.Body}, nil
}

func (i *simInstance) end(err error) { i.once.Do(func() { i.err = err; close(i.done) }) }

func (i *simInstance) ID() string            { return i.id }
func (i *simInstance) Done() <-chan struct{} { return i.done }
func (i *simInstance) Err() error {
	select {
	case <-i.done:
		return i.err
	default:
		return nil
	}
}

func (i *simInstance) Stop(context.Context) error {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	delete(i.s.instances, i.id)
	i.end(nil)
	return nil
}

// bedOf is a bed of the sim, for a test to spoil.
func bedOf(s *sim, d deployer.Deployer) Bed {
	does := func(what string) faas.Function {
		return faas.Function{Ref: faas.Ref{Namespace: "default", Name: what, Version: "1"},
			Spec: faas.Spec{Contract: faas.ContractHandler, Command: []string{what}, StartTimeout: time.Minute}}
	}
	return Bed{Deployer: d, Instances: s.count, Echo: does("echo"), Exit: does("exit"), Broken: does("broken"),
		Hang: does("hang"), Full: does("full"), Shutdown: s.shutdown}
}
