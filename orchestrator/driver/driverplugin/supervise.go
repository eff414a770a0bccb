//go:build linux

package driverplugin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Open executes the driver plugin at an absolute path and returns its driver, which is
// one like any other, but that its tasks outlive it. ctx bounds the start alone.
//
// Errors: ErrInvalidArgument (the options; the file is no program, or no driver plugin),
// ErrNotFound, ErrDenied (the file: anybody could have changed it, it is a symbolic link, or its digest
// is wrong), ErrTimeout (not ready within StartTimeout), ErrUnavailable (it ended before it was
// ready), ErrUnimplemented with a *VersionError, and those of the plugin's own function.
func Open(ctx context.Context, path string, o *Options) (*Plugin, error) {
	return openAPIs(ctx, path, o, ours)
}

func openAPIs(ctx context.Context, path string, o *Options, apis []int32) (*Plugin, error) {
	v, err := o.withDefaults(path)
	if err != nil {
		return nil, err
	}
	v.Logger = v.Logger.With("plugin", filepath.Base(path))
	p := &Plugin{path: path, o: v, apis: apis, done: make(chan struct{}), changed: make(chan struct{}),
		owner: uuid.NewString(), tasks: map[string]*record{}, starting: map[string]*arrival{}}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	l, err := launch(ctx, path, v, apis)
	if err != nil {
		return nil, err
	}
	p.link, p.info = l, l.info
	go p.supervise(l)
	return p, nil
}

// The pauses before a restart: from firstPause, doubled with each one that did not help, to mostPause.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 30 * time.Second
)

// supervise replaces the process whenever it is gone, until the end.
func (p *Plugin) supervise(l *link) {
	defer close(p.done)
	defer p.litter.Wait()
	defer p.cleared()
	var crashes []time.Time
	var waited time.Duration
	for pause := firstPause; ; {
		began := time.Now()
		err := p.tend(l)
		if p.ctx.Err() != nil {
			p.end(l)
			return
		}
		p.down(l, err)
		if time.Since(began) > 10*waited { // the last restart did help
			pause = firstPause
		}
		for l = nil; l == nil; {
			now := time.Now()
			crashes = slices.DeleteFunc(append(crashes, now), func(t time.Time) bool { return now.Sub(t) > p.o.CrashWindow })
			waited = pause/2 + rand.N(pause/2)
			pause = min(2*pause, mostPause)
			broken := len(crashes) >= p.o.MaxCrashes
			if broken {
				waited = mostPause
			}
			p.retry(now.Add(waited), broken, err)
			select {
			case <-time.After(waited):
			case <-p.ctx.Done():
				p.end(nil)
				return
			}
			l, err = p.replace()
		}
	}
}

// tend returns when the link is of no more use, and why.
func (p *Plugin) tend(l *link) error {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	watched, hung := make(chan error, 1), make(chan struct{})
	go func() { watched <- p.pump(ctx, l) }()
	go func() {
		if l.pings(ctx) {
			close(hung)
		}
	}()
	select {
	case <-ctx.Done():
		return nil
	case <-l.proc.exited:
	case <-hung:
		return fmt.Errorf("it gave no sign of life for %v", killAfter)
	case err := <-watched:
		select {
		case <-l.proc.exited: // a better reason
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
			if broken, ok := errors.AsType[brokenError](err); ok {
				err = broken.error // not of a call
			}
			return err
		}
	}
	return errors.New("it ended, " + l.proc.end())
}

// pump applies what the plugin's Watch says.
func (p *Plugin) pump(ctx context.Context, l *link) error {
	for st, err := range l.Watch(ctx) {
		if err != nil {
			return err
		}
		p.mu.Lock()
		if p.link == l {
			if a, starting := p.starting[st.ID]; starting {
				a.seen = &st
			} else if r, ok := p.tasks[st.ID]; ok && !r.lost && r.status.Started.Equal(st.Started) { // not of an earlier task
				p.apply(st)
			}
		}
		p.mu.Unlock()
	}
	return nil
}

// apply changes the state of a listed task, forwards only. The caller holds mu.
func (p *Plugin) apply(st driver.Status) {
	r := p.tasks[st.ID]
	switch {
	case st.State == driver.StateGone:
		r.status.Exit = st.Exit
		p.gone(r)
	case st.State == driver.StateEnded && r.status.State == driver.StateRunning:
		r.status.State, r.status.Exit = st.State, st.Exit
		p.feed.Publish(r.status)
	}
}

// gone forgets a task. The caller holds mu.
func (p *Plugin) gone(r *record) {
	if r.status.Exit == nil {
		r.status.Exit = &driver.Exit{Reason: driver.ExitStopped, Code: -1}
	}
	r.status.State = driver.StateGone
	delete(p.tasks, r.status.ID)
	p.feed.Publish(r.status)
}

// down takes a dead link away.
func (p *Plugin) down(l *link, why error) {
	p.o.Logger.Warn("the plugin is lost", "pid", l.proc.ID(), "reason", why)
	p.mu.Lock()
	p.link = nil
	p.restarts++
	p.mu.Unlock()
	_ = l.proc.Kill(context.Background())
	p.litter.Go(l.destroy)
	<-l.proc.exited
}

// retry says when the next attempt is made.
func (p *Plugin) retry(at time.Time, open bool, why error) {
	if open {
		p.o.Logger.Error("the plugin crashes again and again", "next", at, "reason", why)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.open, p.lastErr = at, open, why
	p.signal()
}

func (p *Plugin) signal() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// replace starts a new process, which adopts the tasks.
func (p *Plugin) replace() (*link, error) {
	l, err := launch(p.ctx, p.path, p.o, p.apis)
	if err != nil {
		return nil, err
	}
	if err = p.adopt(l); err != nil {
		l.destroy()
		return nil, err
	}
	p.o.Logger.Info("the plugin was replaced", "pid", l.proc.ID())
	return l, nil
}

// adopt makes the tasks those of the new link, which it puts in place.
func (p *Plugin) adopt(l *link) error {
	p.mu.Lock()
	recovered, owner := p.recovered, p.owner
	var known []driver.Handle
	for _, r := range p.tasks {
		if r.handle != nil && !r.lost {
			known = append(known, *r.handle)
		}
	}
	p.mu.Unlock()
	if l.info.Name != p.info.Name {
		return faas.Errorf(component, "open", p.path, faas.ErrConflict, "it is the driver %q now, and was %q", l.info.Name, p.info.Name)
	}
	lost := map[string]error{}
	var all []driver.Status
	if recovered && l.info.Recover {
		found, err := l.Recover(p.ctx, owner, known)
		if err != nil {
			return err
		}
		for _, loss := range found.Lost {
			lost[loss.ID] = loss.Err
		}
		if len(found.Strays) > 0 {
			p.o.Logger.Info("strays were removed", "strays", found.Strays)
		}
		if all, err = l.List(p.ctx); err != nil {
			return err
		}
	}
	now := map[string]driver.Status{}
	for _, st := range all {
		now[st.ID] = st
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, r := range p.tasks {
		st, adopted := now[id]
		switch {
		case r.lost:
		case adopted:
			if st.State == driver.StateEnded {
				p.apply(st)
			}
		default:
			r.lost = true
			if r.status.State == driver.StateRunning {
				detail := "its driver died and it could not be adopted"
				if lost[id] != nil {
					detail += ": " + lost[id].Error()
				}
				r.status.State, r.status.Exit = driver.StateEnded, &driver.Exit{Reason: driver.ExitLost, Code: -1, Detail: detail}
				p.feed.Publish(r.status)
			}
		}
	}
	if recovered {
		l.introduction = introduced()
	}
	p.link, p.open, p.lastErr = l, false, nil
	p.signal()
	return nil
}

// introduction is the first Recover of a link.
type introduction struct {
	done chan struct{}
	err  error
}

func introduced() *introduction {
	done := make(chan struct{})
	close(done)
	return &introduction{done: done}
}

// introduce tells the plugin whose tasks these are, before the first of them. A caller who
// gives up does not stop it half-way.
func (p *Plugin) introduce(ctx context.Context, l *link) error {
	if !p.info.Recover {
		return nil
	}
	p.mu.Lock()
	p.recovered = true
	i := l.introduction
	if i == nil {
		i = &introduction{done: make(chan struct{})}
		l.introduction = i
		owner := p.owner
		go func() {
			defer close(i.done)
			if _, i.err = l.Recover(context.Background(), owner, nil); i.err != nil {
				p.mu.Lock()
				defer p.mu.Unlock()
				l.introduction = nil // it may be tried again
			}
		}()
	}
	p.mu.Unlock()
	select {
	case <-i.done:
		return i.err
	case <-ctx.Done():
		return faas.ContextError(ctx, component, "start", l.name)
	}
}

// Recover implements driver.Recoverer.
func (p *Plugin) Recover(ctx context.Context, owner string, known []driver.Handle) (driver.Recovery, error) {
	var none driver.Recovery
	if !p.info.Recover && p.ctx.Err() == nil {
		return none, unimplemented(p.info.Name, "recover", owner)
	}
	p.recover.Lock()
	defer p.recover.Unlock()
	p.mu.Lock()
	recovered := p.recovered
	p.mu.Unlock()
	if p.ctx.Err() != nil {
		return none, closedError("recover", owner)
	}
	if recovered {
		return none, faas.Errorf(component, "recover", owner, faas.ErrConflict, "it comes once, and before the first Start")
	}
	l, err := p.await(ctx, "recover", owner, nil)
	if err != nil {
		return none, err
	}
	whole := context.WithoutCancel(ctx) // half of it could not be repeated
	found, err := l.Recover(whole, owner, known)
	var all []driver.Status
	if err == nil {
		all, err = l.List(whole)
	}
	if err != nil {
		return none, err
	}
	handles := map[string]driver.Handle{}
	for _, h := range known {
		handles[h.ID] = h
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != l {
		return none, faas.Errorf(component, "recover", owner, faas.ErrUnavailable, "the plugin crashed right after it")
	}
	p.owner, p.recovered, l.introduction = owner, true, introduced()
	for _, st := range all {
		if h, ok := handles[st.ID]; ok && st.State != driver.StateGone {
			p.tasks[st.ID] = &record{status: st, handle: &h}
			p.feed.Publish(st)
		}
	}
	return found, nil
}

// end stops the tasks, or leaves them, and ends the plugin. l is nil if there is none.
func (p *Plugin) end(l *link) {
	if context.Cause(p.ctx) == errDetach {
		if l != nil {
			l.destroy()
		}
		return
	}
	err := p.closeLink(l)
	p.mu.Lock()
	orphans := err != nil && p.info.Recover && p.recovered
	p.mu.Unlock()
	if !orphans {
		return
	}
	// Nobody has stopped the tasks: a plugin that knows of none takes them for strays.
	ctx, cancel := context.WithTimeout(context.Background(), p.o.StartTimeout+recoverTimeout)
	defer cancel()
	if l, err = launch(ctx, p.path, p.o, p.apis); err == nil {
		_, err = l.Recover(ctx, p.owner, nil)
		err = errors.Join(err, p.closeLink(l))
	}
	if err != nil {
		e := faas.Errorf(component, "close", p.path, faas.ErrUnavailable, "tasks may be left behind: %w", err)
		e.Next = "another plugin removes them once Recover names the same owner"
		p.mu.Lock()
		p.closeErr = e
		p.mu.Unlock()
	}
}

// closeLink closes the driver and ends the process. An error means that the driver did not
// come to be closed.
func (p *Plugin) closeLink(l *link) error {
	if l == nil {
		return errors.New("there is no plugin")
	}
	defer l.destroy()
	closed := make(chan error, 1)
	go func() { closed <- l.remote.Close() }()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go l.pings(ctx)
	for {
		select {
		case err := <-closed:
			return err
		case <-l.proc.exited:
			return errors.New("it ended, " + l.proc.end())
		case <-look.C:
			if l.silent() > unhealthyAfter {
				return errors.New("it gives no sign of life")
			}
		}
	}
}

// cleared tells the watchers of the end.
func (p *Plugin) cleared() {
	p.mu.Lock()
	p.link = nil
	p.signal()
	if context.Cause(p.ctx) == errClose {
		for _, r := range p.tasks {
			p.gone(r)
		}
	}
	p.mu.Unlock()
	p.feed.Close()
}
