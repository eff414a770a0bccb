package cluster

import (
	"context"
	"errors"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

// recoverTries is how often an agent that begins asks a driver for what it has.
const recoverTries = 8

// task returns what is known of a workload here. The caller holds mu.
func (a *Agent) task(id string) *task {
	t := a.tasks[id]
	if t == nil {
		t = &task{id: id}
		a.tasks[id] = t
	}
	return t
}

// mine reports whether a driver's task belongs to this node, and to which start.
func (a *Agent) mine(st *driver.Status) (start string, ok bool) {
	start = st.Labels[orchestrator.StartLabel]
	rest, ok := strings.CutPrefix(start, a.node.Name)
	return start, ok && strings.HasPrefix(rest, "/")
}

// recover takes up what the driver still has of this node from before.
func (a *Agent) recover(ctx context.Context, d driver.Driver) {
	for try := 1; ; try++ {
		all, err := d.List(ctx)
		if err == nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			for _, st := range all {
				if start, ok := a.mine(&st); ok {
					t := a.task(st.ID)
					t.driver, t.live, t.found = d, start, st
				}
			}
			return
		}
		if errors.Is(err, faas.ErrClosed) || try == recoverTries {
			a.log.Error("cannot learn what a driver has; it is taken for nothing", "error", err)
			return
		}
		if !pause(ctx, retryAfter) {
			return
		}
	}
}

// observe takes up what becomes of the driver's tasks until ctx ends.
func (a *Agent) observe(ctx context.Context, d driver.Driver) {
	for {
		var err error
		for st, werr := range d.Watch(ctx) {
			if err = werr; err != nil {
				break
			}
			if st.State != driver.StateRunning {
				a.saw(d, st)
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, faas.ErrClosed):
			a.missing(d, a.having(d), nil)
			return
		}
		a.log.Warn("lost sight of a driver; trying again", "error", err)
		if !pause(ctx, retryAfter) {
			return
		}
		// What ended and was forgotten meanwhile does not show in the next watch.
		before := a.having(d)
		if all, err := d.List(ctx); err == nil {
			a.missing(d, before, all)
		}
	}
}

// saw takes up the end of a task.
func (a *Agent) saw(d driver.Driver, st driver.Status) {
	start, ok := a.mine(&st)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tasks[st.ID]
	switch {
	case t == nil:
	case t.driver == d && t.live == start:
		a.exited(t, &st)
		t.found = st
		a.kick(t)
	case t.cancel != nil && t.key == start:
		t.early = &st
	}
}

// having returns the starts that the driver is believed to have.
func (a *Agent) having(d driver.Driver) map[string]*task {
	a.mu.Lock()
	defer a.mu.Unlock()
	have := map[string]*task{}
	for _, t := range a.tasks {
		if t.driver == d {
			have[t.live] = t
		}
	}
	return have
}

// missing takes for lost what the driver should have and does not.
func (a *Agent) missing(d driver.Driver, should map[string]*task, has []driver.Status) {
	for i := range has {
		delete(should, has[i].Labels[orchestrator.StartLabel])
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for start, t := range should {
		if t.driver == d && t.live == start {
			exit := &driver.Exit{Reason: driver.ExitLost, Code: -1, Detail: "its driver does not know it any more"}
			t.found = driver.Status{ID: t.id, State: driver.StateEnded, Exit: exit}
			a.exited(t, &t.found)
			a.kick(t)
		}
	}
}

// follow keeps what is wanted equal to the assignments until ctx ends or the naming service
// is closed.
func (a *Agent) follow(ctx context.Context) error {
	prefix := orchestrator.AssignmentsPrefix + a.node.Name + "/"
	for {
		entries, rev, err := a.cfg.Naming.List(ctx, prefix)
		if err == nil {
			a.reset(prefix, entries)
			for ev, werr := range a.cfg.Naming.Watch(ctx, prefix, rev) {
				if err = werr; err != nil {
					break
				}
				a.mu.Lock()
				a.assign(ev.Entry.Name[len(prefix):], ev)
				a.mu.Unlock()
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, faas.ErrClosed):
			return &faas.Error{Component: agentName, Op: "run", Key: a.node.Name, Class: faas.ErrClosed, Err: err}
		case errors.Is(err, faas.ErrExhausted):
			continue // too far behind: list again
		}
		a.log.Warn("lost sight of the assignments; trying again", "error", err)
		if !pause(ctx, retryAfter) {
			return nil
		}
	}
}

// reset makes what is wanted equal to a listing.
func (a *Agent) reset(prefix string, entries []orchestrator.Entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	listed := make(map[string]struct{}, len(entries))
	for _, e := range entries {
		id := e.Name[len(prefix):]
		listed[id] = struct{}{}
		a.assign(id, orchestrator.Event{Entry: e})
	}
	a.listed = true
	for id, t := range a.tasks {
		if _, ok := listed[id]; !ok && t.want != nil {
			a.assign(id, orchestrator.Event{Deleted: true})
		} else {
			a.kick(t)
		}
	}
}

// assign takes up one change of an assignment. The caller holds mu.
func (a *Agent) assign(id string, ev orchestrator.Event) {
	if ev.Deleted {
		if t := a.tasks[id]; t != nil {
			t.want, t.key, t.forgot = nil, "", ""
			t.callOff()
			a.kick(t)
		}
		return
	}
	rec, err := orchestrator.DecodeRecord[orchestrator.Assignment](ev.Entry)
	if err != nil {
		a.log.Error("an assignment cannot be read", "name", ev.Entry.Name, "error", err)
		return
	}
	t := a.task(id)
	key := rec.Start(a.node.Name)
	t.want, t.forgot = &assignment{Assignment: &rec, node: a.node.Name, rev: ev.Entry.Revision}, ""
	if t.key != key || rec.Stop {
		t.callOff()
	}
	t.key = key
	a.kick(t)
}

// callOff ends a start under way: it is not wanted any more.
func (t *task) callOff() {
	if t.cancel != nil {
		t.cancel()
	}
}
