//go:build linux

package driverplugin

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Plugin is a driver in a child process that is kept alive. It implements driver.Driver and
// every optional power; those that the plugin's driver does not declare in its Info are
// ErrUnimplemented. Safe for concurrent use.
//
// When the plugin dies or hangs it is replaced, and the new one adopts the tasks (if
// Info.Recover) while they go on serving. What cannot be adopted has ended, as driver.ExitLost. List and
// Watch go on as if nothing had happened. A Start that was under way fails as ErrUnavailable
// and leaves nothing; a Stop, and every call that comes meanwhile, waits for the new plugin.
type Plugin struct {
	path string
	o    Options
	apis []int32
	info driver.Info
	feed driver.Feed

	ctx     context.Context // ends when Close or Detach begins
	cancel  context.CancelCauseFunc
	done    chan struct{}  // closed when supervise has returned
	litter  sync.WaitGroup // dead links that are being swept up
	recover sync.Mutex     // held while the first Recover is under way

	mu        sync.Mutex
	link      *link         // nil while there is none
	changed   chan struct{} // closed and replaced when link or next changes
	next      time.Time     // of the restart that is waited for
	open      bool          // the circuit: calls do not wait
	lastErr   error         // why there is no link
	restarts  int
	owner     string
	recovered bool // a plugin was told the owner: there may be tasks of it
	tasks     map[string]*record
	starting  map[string]*arrival
	closeErr  error
}

// record is a listed task.
type record struct {
	status driver.Status
	handle *driver.Handle
	lost   bool // the plugin does not know it
}

// arrival is a task whose Start is under way.
type arrival struct{ seen *driver.Status } // by Watch, if it was faster

var (
	_ driver.Driver      = (*Plugin)(nil)
	_ driver.LogSource   = (*Plugin)(nil)
	_ driver.Recoverer   = (*Plugin)(nil)
	_ driver.Pauser      = (*Plugin)(nil)
	_ driver.StatsSource = (*Plugin)(nil)
)

// Health returns the state of the process now.
func (p *Plugin) Health() Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := Health{Restarts: p.restarts}
	if p.link == nil {
		h.NextStart, h.Err = p.next, p.lastErr
		return h
	}
	h.PID, h.Healthy = p.link.proc.cmd.Process.Pid, p.link.silent() < unhealthyAfter
	return h
}

// await returns the link, or the one after dead, for as long as a call waits.
func (p *Plugin) await(ctx context.Context, op, key string, dead *link) (*link, error) {
	return p.awaitFor(ctx, p.o.RestartWait, op, key, dead)
}

func (p *Plugin) awaitFor(ctx context.Context, most time.Duration, op, key string, dead *link) (*link, error) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for over := false; ; {
		p.mu.Lock()
		l, changed, next, open, last := p.link, p.changed, p.next, p.open, p.lastErr
		p.mu.Unlock()
		switch {
		case p.ctx.Err() != nil:
			return nil, closedError(op, key)
		case ctx.Err() != nil:
			return nil, faas.ContextError(ctx, component, op, key)
		case l != nil && l != dead:
			return l, nil
		case over || open && l == nil:
			e := faas.Errorf(component, op, key, faas.ErrUnavailable, "the plugin %s is being restarted", p.path)
			if last != nil {
				e.Err = errors.Join(e.Err, last)
			}
			e.RetryAfter = max(time.Until(next), 100*time.Millisecond)
			return nil, e
		}
		select {
		case <-changed:
		case <-timer.C:
			over = true
		case <-ctx.Done():
		case <-p.ctx.Done():
		}
	}
}

// again calls f with the link, and once more with each new one while the connection breaks: for calls
// that can be repeated.
func (p *Plugin) again(ctx context.Context, op, key string, f func(*link) error) error {
	for dead := (*link)(nil); ; {
		l, err := p.await(ctx, op, key, dead)
		if err != nil {
			return err
		}
		err = f(l)
		broken, ok := errors.AsType[brokenError](err)
		switch {
		case p.ctx.Err() != nil && err != nil:
			return closedError(op, key)
		case !ok:
			return err
		case ctx.Err() != nil:
			return broken.error
		}
		dead = l
	}
}

// Info implements driver.Driver. It is what the first process said.
func (p *Plugin) Info(context.Context) (driver.Info, error) {
	if p.ctx.Err() != nil {
		return driver.Info{}, closedError("info", "")
	}
	info := p.info
	info.Contracts = slices.Clone(info.Contracts)
	return info, nil
}

// Start implements driver.Driver.
func (p *Plugin) Start(ctx context.Context, t driver.Task) (driver.Status, error) {
	if err := p.info.Accepts(&t); err != nil {
		return driver.Status{}, err
	}
	if err := p.reserve(ctx, t.ID); err != nil {
		return driver.Status{}, err
	}
	l, err := p.await(ctx, "start", t.ID, nil)
	if err == nil {
		err = p.introduce(ctx, l)
	}
	var st driver.Status
	var h *driver.Handle
	if err == nil {
		st, h, err = l.start(ctx, t)
	}
	if broken, ok := errors.AsType[brokenError](err); ok && p.ctx.Err() == nil {
		// Whatever it had started is removed when the next plugin recovers.
		_, _ = p.awaitFor(ctx, slack, "start", t.ID, l)
		err = broken.error
		if ctx.Err() == nil {
			err = faas.Errorf(component, "start", t.ID, faas.ErrUnavailable, "the plugin crashed: %w", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.starting[t.ID].seen
	delete(p.starting, t.ID)
	switch {
	case p.ctx.Err() != nil:
		return driver.Status{}, closedError("start", t.ID) // and Close takes the task with it
	case err != nil:
		return driver.Status{}, err
	case p.link != nil && p.link != l: // nobody could adopt it: its handle was not known yet
		return driver.Status{}, faas.Errorf(component, "start", t.ID, faas.ErrUnavailable, "the plugin crashed right after the start")
	}
	p.tasks[t.ID] = &record{status: st, handle: h}
	p.feed.Publish(st)
	if seen != nil && seen.State != driver.StateRunning && seen.Started.Equal(st.Started) {
		p.apply(*seen)
	}
	return st, nil
}

// reserve takes the id for a start.
func (p *Plugin) reserve(ctx context.Context, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, listed := p.tasks[id]
	_, starting := p.starting[id]
	switch {
	case p.ctx.Err() != nil:
		return closedError("start", id)
	case ctx.Err() != nil:
		return faas.ContextError(ctx, component, "start", id)
	case listed || starting:
		return faas.Errorf(component, "start", id, faas.ErrAlreadyExists, "a task of that id is listed")
	}
	p.starting[id] = &arrival{}
	return nil
}

// Stop implements driver.Driver.
func (p *Plugin) Stop(ctx context.Context, id string, grace time.Duration) error {
	if grace < 0 {
		return faas.Errorf(component, "stop", id, faas.ErrInvalidArgument, "the grace is negative")
	}
	p.mu.Lock()
	r := p.tasks[id]
	p.mu.Unlock()
	err := p.again(ctx, "stop", id, func(l *link) error {
		if p.forgetLost(id) {
			return nil
		}
		return l.Stop(ctx, id, grace)
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r != nil && p.tasks[id] == r { // and not another of that id since
		p.gone(r)
	}
	return nil
}

// forgetLost forgets a task that no plugin knows any more.
func (p *Plugin) forgetLost(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.tasks[id]
	if ok && r.lost {
		p.gone(r)
	}
	return ok && r.lost
}

// List implements driver.Driver.
func (p *Plugin) List(ctx context.Context) ([]driver.Status, error) {
	if p.ctx.Err() != nil {
		return nil, closedError("list", "")
	}
	if ctx.Err() != nil {
		return nil, faas.ContextError(ctx, component, "list", "")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.statuses(), nil
}

func (p *Plugin) statuses() []driver.Status {
	all := make([]driver.Status, 0, len(p.tasks))
	for _, r := range p.tasks {
		all = append(all, r.status)
	}
	return all
}

// Watch implements driver.Driver.
func (p *Plugin) Watch(ctx context.Context) iter.Seq2[driver.Status, error] {
	return p.feed.Watch(ctx, func(register func(...driver.Status)) {
		p.mu.Lock()
		defer p.mu.Unlock()
		register(p.statuses()...)
	})
}

// Logs implements driver.LogSource. Lines that a plugin has read and not passed on go with it:
// after a crash a sequence ends as ErrUnavailable, and a new one has what came since.
func (p *Plugin) Logs(ctx context.Context, id string, o driver.LogOptions) iter.Seq2[driver.LogLine, error] {
	return func(yield func(driver.LogLine, error) bool) {
		l, err := p.await(ctx, "logs", id, nil)
		if err != nil {
			yield(driver.LogLine{}, err)
			return
		}
		for line, err := range l.Logs(ctx, id, o) {
			if err != nil && p.ctx.Err() != nil {
				err = closedError("logs", id)
			}
			if broken, ok := errors.AsType[brokenError](err); ok {
				err = broken.error
			}
			if !yield(line, err) {
				return
			}
		}
	}
}

// Pause implements driver.Pauser.
func (p *Plugin) Pause(ctx context.Context, id string) error {
	return p.again(ctx, "pause", id, func(l *link) error { return l.Pause(ctx, id) })
}

// Resume implements driver.Pauser.
func (p *Plugin) Resume(ctx context.Context, id string) error {
	return p.again(ctx, "resume", id, func(l *link) error { return l.Resume(ctx, id) })
}

// Stats implements driver.StatsSource.
func (p *Plugin) Stats(ctx context.Context, id string) (st driver.Stats, err error) {
	err = p.again(ctx, "stats", id, func(l *link) (err error) {
		st, err = l.Stats(ctx, id)
		return err
	})
	return st, err
}

// Handle implements driver.Recoverer.
func (p *Plugin) Handle(ctx context.Context, id string) (h driver.Handle, err error) {
	if !p.info.Recover && p.ctx.Err() == nil {
		return h, unimplemented(p.info.Name, "handle", id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.tasks[id]
	switch {
	case p.ctx.Err() != nil:
		return h, closedError("handle", id)
	case !ok || r.handle == nil:
		return h, faas.Errorf(component, "handle", id, faas.ErrNotFound, "no task of that id is listed")
	}
	h = *r.handle
	h.State = slices.Clone(h.State)
	return h, nil
}

// Close implements driver.Driver: the driver in the plugin is closed, and then the process
// ended. A plugin that does not answer is killed, and another one started to stop what is left.
func (p *Plugin) Close() error {
	p.cancel(errClose)
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.closeErr
	p.closeErr = nil
	return err
}

// Detach ends the plugin and leaves its tasks running, for Recover with their
// handles in this process or another. It is an end like Close: later calls are ErrClosed.
func (p *Plugin) Detach() error {
	p.cancel(errDetach)
	<-p.done
	return nil
}

var errClose, errDetach = errors.New("close"), errors.New("detach")
