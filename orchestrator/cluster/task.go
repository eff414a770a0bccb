package cluster

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

// task is one workload on this node: what is assigned, what its driver has, and what
// is to be reported. A goroutine works on it only while there is something to do.
type task struct {
	id    string
	grace time.Duration

	want *assignment // nil: nothing
	key  string      // of want: Assignment.Start

	driver  driver.Driver // who has it listed; nil: nobody
	live    string        // the start that the driver has
	found   driver.Status // what the driver said of it when it was adopted
	ended   *driver.Exit  // the driver's word on how that start ended; nil: it has not
	release func()        // gives back the code it runs

	outcome  *orchestrator.AgentStatus // of the start settled; nil: none
	settled  string
	recorded bool   // the outcome is in the naming service
	forgot   string // the start whose records were deleted

	busy   bool
	tries  int                // failures in a row
	cancel context.CancelFunc // of a start under way
	early  *driver.Status     // an end seen before Start returned
}

// action is what a task needs next.
type action int

const (
	rest action = iota
	start
	adopt
	lost // the start was another agent's, and the instance is not there any more
	stop
	record
	forget
)

// next decides, from what is alone. The caller holds mu.
func (a *Agent) next(t *task) action {
	wanted := t.want != nil && !t.want.Stop
	switch {
	case !a.listed, a.leaving && a.cfg.LeaveRunning, a.ctx.Err() != nil && !a.leaving:
		return rest
	case t.driver != nil && (a.leaving || !wanted || t.live != t.key):
		return stop
	case a.leaving, a.lease == 0:
		return rest
	case !wanted && (t.want != nil || t.outcome != nil):
		if t.want != nil && t.forgot == t.key {
			return rest
		}
		return forget
	case wanted && t.settled != t.key:
		if t.driver != nil {
			return adopt
		}
		if a.mayStart(t.want, t.key) {
			return start
		}
		return lost
	case wanted && !t.recorded:
		return record
	}
	return rest
}

// kick sees to it that somebody works on the task. The caller holds mu.
func (a *Agent) kick(t *task) {
	if t.busy || a.next(t) == rest {
		a.drop(t)
		return
	}
	t.busy = true
	a.work.Go(func() { a.run(t) })
}

// drop forgets a task that nothing is left of. The caller holds mu.
func (a *Agent) drop(t *task) {
	if !t.busy && t.want == nil && t.driver == nil && t.outcome == nil && a.tasks[t.id] == t {
		delete(a.tasks, t.id)
	}
}

// run does what the task needs until it needs nothing, or something failed that is to be
// tried again later.
func (a *Agent) run(t *task) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		var err error
		switch a.next(t) {
		case start:
			a.start(t)
		case adopt:
			a.adopt(t)
		case lost:
			exit := &driver.Exit{Reason: driver.ExitLost, Code: -1, Detail: "the agent restarted and the instance was gone"}
			a.settleStart(t, &orchestrator.AgentStatus{Ended: now(), Status: orchestrator.Status{
				Phase: orchestrator.PhaseEnded, Exit: exit, Reason: exit.Detail}})
		case stop:
			err = a.stop(t)
		case record:
			err = a.record(t)
		case forget:
			err = a.forget(t)
		case rest:
			t.busy = false
			a.drop(t)
			return
		}
		if err == nil {
			t.tries = 0
			continue
		}
		t.tries++
		a.log.Warn("cannot bring an instance to what is wanted", "id", t.id, "tries", t.tries, "error", err)
		if a.leaving {
			if t.tries >= lastTries {
				t.driver = nil // an agent that comes after finds it as a stray
			} else {
				a.unlocked(func() { time.Sleep(retryAfter) })
			}
			continue
		}
		t.busy = false
		time.AfterFunc(retryAfter, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.kick(t)
		})
		return
	}
}

// lastTries is how often an agent that leaves tries to stop an instance.
const lastTries = 5

// stopMargin is how much longer than its grace a stop may take.
const stopMargin = 30 * time.Second

// unlocked runs f without mu.
func (a *Agent) unlocked(f func()) {
	a.mu.Unlock()
	defer a.mu.Lock()
	f()
}

// settleStart notes the outcome of the wanted start.
func (a *Agent) settleStart(t *task, st *orchestrator.AgentStatus) {
	w := t.want
	st.ID, st.Node, st.Restarts, st.Attempt, st.Applied, st.Placed = t.id, a.node.Name, w.Attempt, w.Attempt, w.Applied, w.Placed
	t.outcome, t.settled, t.recorded = st, t.key, false
}

// start starts the wanted instance. Whatever comes of it is the outcome, but for a start
// that was called off.
func (a *Agent) start(t *task) {
	want, key := t.want, t.key
	ctx, cancel := context.WithCancel(a.ctx)
	t.cancel, t.early = cancel, nil
	var st driver.Status
	var err error
	var release func()
	d := a.drivers[want.Workload.Driver]
	begun := now()
	a.unlocked(func() { st, release, err = a.launch(ctx, d, want, key) })
	called := ctx.Err() != nil
	cancel()
	t.cancel = nil
	if err == nil {
		t.driver, t.live, t.ended, t.release, t.found = d, key, nil, release, st
		t.grace = grace(&want.Workload)
		if t.key == key {
			a.settleStart(t, running(st))
			if t.early != nil {
				a.exited(t, t.early)
			}
		}
		a.log.Debug("started", "id", t.id, "driver", want.Workload.Driver)
		return
	}
	if called || t.key != key {
		return
	}
	a.log.Debug("cannot start", "id", t.id, "driver", want.Workload.Driver, "error", err)
	a.settleStart(t, &orchestrator.AgentStatus{Ended: now(), Status: orchestrator.Status{
		Phase: orchestrator.PhaseEnded, Error: orchestrator.FailureOf(err), Reason: err.Error(), Started: begun}})
}

// adopt takes an instance that the driver has as the outcome of the start.
func (a *Agent) adopt(t *task) {
	t.grace = grace(&t.want.Workload)
	if d := t.want.Workload.Code; d != "" && a.code != nil && t.release == nil {
		t.release = a.code.hold(d)
	}
	a.settleStart(t, running(t.found))
	if t.found.State != driver.StateRunning {
		a.exited(t, &t.found)
	}
	a.log.Debug("adopted", "id", t.id)
}

func running(st driver.Status) *orchestrator.AgentStatus {
	return &orchestrator.AgentStatus{Status: orchestrator.Status{Phase: orchestrator.PhaseRunning, Endpoint: st.Endpoint,
		Started: st.Started, Ready: st.Ready}}
}

func grace(w *orchestrator.Workload) time.Duration {
	if w.Grace == 0 {
		return faas.DefaultGrace
	}
	return w.Grace
}

// launch fetches the code and has the driver start the instance.
func (a *Agent) launch(ctx context.Context, d driver.Driver, want *assignment, key string) (st driver.Status, release func(), err error) {
	w := &want.Workload
	if d == nil {
		return st, nil, faas.Errorf(agentName, "start", w.ID, faas.ErrUnimplemented, "node %s has no driver %q", a.node.Name, w.Driver)
	}
	labels := make(map[string]string, len(w.Labels)+1)
	maps.Copy(labels, w.Labels)
	labels[orchestrator.StartLabel] = key
	t := driver.Task{ID: w.ID, Contract: w.Contract, Image: w.Image, Command: w.Command, Env: w.Env, Limits: w.Limits, Isolation: w.Isolation,
		StartTimeout: w.StartTimeout, Concurrency: w.Concurrency, Labels: labels}
	release = func() {}
	if w.Code != "" {
		if t.StartTimeout == 0 {
			t.StartTimeout = faas.DefaultStartTimeout
		}
		begun := time.Now()
		if t.Dir, release, err = a.fetch(ctx, w, t.StartTimeout); err != nil {
			return st, nil, err
		}
		t.StartTimeout = max(t.StartTimeout-time.Since(begun), 1)
	}
	if st, err = d.Start(ctx, t); err != nil {
		release()
		return st, nil, err
	}
	return st, release, nil
}

// fetch returns the directory of the workload's code.
func (a *Agent) fetch(ctx context.Context, w *orchestrator.Workload, timeout time.Duration) (string, func(), error) {
	if a.code == nil {
		err := faas.Errorf(agentName, "start", w.ID, faas.ErrUnimplemented, "the workload has code, and this agent has no code source")
		err.Next = "set AgentConfig.Code"
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return a.code.get(ctx, w.Code)
}

// exited takes up how the live instance ended.
func (a *Agent) exited(t *task, st *driver.Status) {
	if t.ended != nil {
		return
	}
	exit := st.Exit
	if exit == nil {
		exit = &driver.Exit{Reason: driver.ExitLost, Code: -1}
	}
	t.ended = exit
	if t.settled != t.live || t.outcome == nil || t.outcome.Phase != orchestrator.PhaseRunning {
		return
	}
	end := *t.outcome
	end.Phase, end.Exit, end.Ended, end.Endpoint = orchestrator.PhaseEnded, exit, now(), driver.Endpoint{}
	if err := exit.Err(t.id); err != nil {
		end.Reason = err.Error()
	} else {
		end.Reason = "stopped by its driver"
	}
	t.outcome, t.recorded = &end, false
	a.log.Debug("ended", "id", t.id, "reason", end.Reason)
}

// stop has the driver end and forget the instance.
func (a *Agent) stop(t *task) error {
	d := t.driver
	grace := t.grace
	if grace == 0 {
		grace = faas.DefaultGrace
	}
	var err error
	a.unlocked(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), grace+stopMargin)
		defer cancel()
		err = d.Stop(ctx, t.id, grace)
	})
	if err != nil && !errors.Is(err, faas.ErrNotFound) && !errors.Is(err, faas.ErrClosed) {
		return err
	}
	t.driver, t.live, t.ended = nil, "", nil
	if t.release != nil {
		t.release()
		t.release = nil
	}
	a.log.Debug("stopped", "id", t.id)
	return nil
}

// record reports the outcome, under the lease of the node. Without the lease it waits
// for the next announcement.
func (a *Agent) record(t *task) error {
	st, lease := t.outcome, a.lease
	var err error
	a.unlocked(func() {
		_, err = a.cfg.Naming.Put(a.ctx, orchestrator.StatusesPrefix+a.node.Name+"/"+t.id, orchestrator.EncodeRecord(st),
			&orchestrator.PutOptions{Lease: lease})
	})
	switch {
	case err == nil:
		t.recorded = t.outcome == st && a.lease == lease
	case errors.Is(err, faas.ErrNotFound):
		if a.lease == lease {
			a.lease = 0 // the renewal finds that out too
		}
		return nil
	}
	return a.excuse(err)
}

// forget deletes the records of an instance that nothing is left of: the status, and the
// assignment that asked for its end.
func (a *Agent) forget(t *task) error {
	want, key := t.want, t.key
	var err error
	a.unlocked(func() {
		err = a.cfg.Naming.Delete(a.ctx, orchestrator.StatusesPrefix+a.node.Name+"/"+t.id, nil)
		if want != nil && (err == nil || errors.Is(err, faas.ErrNotFound)) {
			err = a.cfg.Naming.Delete(a.ctx, orchestrator.AssignmentsPrefix+a.node.Name+"/"+t.id, &orchestrator.DeleteOptions{IfRevision: &want.rev})
		}
	})
	if errors.Is(err, faas.ErrNotFound) || errors.Is(err, faas.ErrConflict) {
		err = nil // the watch brings what it is now
	}
	if err == nil {
		t.outcome, t.settled, t.recorded = nil, "", false
		if want != nil {
			t.forgot = key
		}
	}
	return a.excuse(err)
}

// excuse is nil for what the end of Run explains.
func (a *Agent) excuse(err error) error {
	if a.ctx.Err() != nil {
		return nil
	}
	return err
}
