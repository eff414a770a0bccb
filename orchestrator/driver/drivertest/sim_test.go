package drivertest

import (
	"context"
	"iter"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// sim is a whole driver that lives in memory: its processes are entries of world. It
// keeps every promise but the one that flaw names.
type sim struct {
	flaw  string
	world *world
	feed  driver.Feed

	mu        sync.Mutex
	tasks     map[string]*simTask
	closed    bool
	closing   chan struct{} // closed when closed is set
	ends      sync.WaitGroup
	cached    []driver.Status
	watches   int
	left      bool
	orphans   map[string]*simTask // of a predecessor
	recovered bool
	handles   int
	finished  chan struct{}
}

// world is what the sims of one test leave outside of themselves.
type world struct {
	mu     sync.Mutex
	things map[string]bool
}

func (w *world) set(thing string, there bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if there {
		w.things[thing] = true
	} else {
		delete(w.things, thing)
	}
}

func (w *world) left(testing.TB) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.things))
}

type simTask struct {
	spec     driver.Task
	status   driver.Status
	starting bool
	paused   bool
	calls    int
	force    *time.Timer
	deadline time.Time
	forced   chan struct{}
	once     sync.Once
	gone     chan struct{}
	lines    []driver.LogLine
	wrote    chan struct{} // closed and replaced with each line
}

func newSim(flaw string, w *world) *sim {
	return &sim{flaw: flaw, world: w, tasks: map[string]*simTask{}, closing: make(chan struct{}), finished: make(chan struct{})}
}

func fail(class error, why string) error { return faas.Errorf("sim", "run", "", class, "%s", why) }

func (s *sim) info() driver.Info {
	i := driver.Info{Name: "sim", Contracts: []faas.Contract{"sim"}, Isolation: faas.IsolationProcess,
		Limits: driver.LimitSupport{Memory: true}, Logs: true, Images: true, Pause: true, Stats: true, Recover: true}
	switch s.flaw {
	case "name-invalid":
		i.Name = "Sim!"
	case "contract-twice":
		i.Contracts = []faas.Contract{"sim", "sim"}
	case "logs-undeclared":
		i.Logs = false
	case "pause-undeclared":
		i.Pause = false
	case "stats-undeclared":
		i.Stats = false
	case "recover-undeclared":
		i.Recover = false
	case "images-undeclared":
		i.Images = false
	case "info-changes":
		i.Limits.Pids = len(s.tasks) > 0
	}
	return i
}

func (s *sim) Info(context.Context) (driver.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return driver.Info{}, fail(faas.ErrClosed, "closed")
	}
	return s.info(), nil
}

func (s *sim) accepts(t *driver.Task) error {
	i := s.info()
	switch s.flaw {
	case "no-validation":
		return nil
	case "any-contract":
		i.Contracts = append(i.Contracts, t.Contract)
	case "any-isolation":
		i.Isolation = faas.IsolationVM
	case "images-undeclared":
		i.Images = true
	case "any-limit":
		i.Limits = driver.LimitSupport{MilliCPU: true, Memory: true, Pids: true, Files: true, FileSize: true}
	}
	return i.Accepts(t)
}

func (s *sim) Start(ctx context.Context, t driver.Task) (driver.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return driver.Status{}, fail(faas.ErrClosed, "closed")
	}
	if err := s.accepts(&t); err != nil {
		return driver.Status{}, err
	}
	if ctx.Err() != nil && s.flaw != "cancelled-starts" {
		return driver.Status{}, faas.ContextError(ctx, "sim", "start", t.ID)
	}
	if old := s.tasks[t.ID]; old != nil && s.flaw != "id-replaced" && !(s.flaw == "id-raced" && old.starting) {
		return driver.Status{}, fail(faas.ErrAlreadyExists, "taken")
	}
	if s.left || s.flaw == "crowd" && len(s.tasks) > 5 {
		return driver.Status{}, fail(faas.ErrExhausted, "too many")
	}
	if t.Image != "" {
		switch {
		case s.flaw == "image-not-run" && t.Image == "sim":
			return driver.Status{}, fail(faas.ErrInternal, "no images")
		case t.Image != "sim" && s.flaw != "image-misnamed":
			return driver.Status{}, fail(faas.ErrNotFound, "no such image")
		}
		t.Command = []string{string(Serve)}
	}
	if t.Command[0] == string(Missing) {
		if s.flaw == "missing-misnamed" {
			return driver.Status{}, fail(faas.ErrFunction, "missing")
		}
		return driver.Status{}, fail(faas.ErrNotFound, "missing")
	}
	labels := maps.Clone(t.Labels)
	switch s.flaw {
	case "labels-shared":
		labels = t.Labels
	case "labels-lost":
		labels = nil
	}
	address := t.ID
	if s.flaw == "one-endpoint" {
		address = "everybody"
	}
	run := &simTask{spec: t, starting: true, forced: make(chan struct{}), gone: make(chan struct{}), wrote: make(chan struct{})}
	run.status = driver.Status{ID: t.ID, State: driver.StateRunning, Labels: labels, Started: time.Now(),
		Endpoint: driver.Endpoint{Network: "sim", Address: address}}
	s.tasks[t.ID] = run
	s.world.set(t.ID, true)
	s.mu.Unlock()
	err := s.becomeReady(ctx, t)
	s.mu.Lock()
	if err == nil && s.closed {
		err = fail(faas.ErrClosed, "closed while starting")
	}
	if err != nil {
		if s.flaw != "failure-listed" {
			delete(s.tasks, t.ID)
		}
		s.world.set(t.ID, s.flaw == "failure-leaves")
		return driver.Status{}, err
	}
	run.starting = false
	if run.status.Ready = time.Now(); s.flaw == "ready-unset" {
		run.status.Ready = time.Time{}
	}
	s.feed.Publish(run.status)
	return run.status, nil
}

func (s *sim) becomeReady(ctx context.Context, t driver.Task) error {
	delay, after := time.Millisecond, error(nil)
	switch Behaviour(t.Command[0]) {
	case ExitEarly:
		if after = fail(faas.ErrFunction, "exited with code 3"); s.flaw == "early-exit-waited-out" {
			delay = t.StartTimeout
		}
	case NeverReady:
		if delay, after = t.StartTimeout, fail(faas.ErrTimeout, "never ready"); s.flaw == "start-timeout-ignored" {
			delay = faas.DefaultStartTimeout
		}
	}
	done, closing := ctx.Done(), s.closing
	if s.flaw == "cancel-ignored" || s.flaw == "cancelled-starts" {
		done = nil
	}
	if s.flaw == "close-ignored" {
		closing = nil
	}
	select {
	case <-time.After(delay):
		return after
	case <-done:
		if s.flaw == "deadline-misnamed" {
			return fail(faas.ErrCanceled, "cancelled")
		}
		return faas.ContextError(ctx, "sim", "start", t.ID)
	case <-closing:
		return fail(faas.ErrClosed, "closed while starting")
	}
}

func (s *sim) Stop(ctx context.Context, id string, grace time.Duration) error {
	s.mu.Lock()
	t := s.tasks[id]
	switch {
	case s.closed:
		s.mu.Unlock()
		return fail(faas.ErrClosed, "closed")
	case t == nil || t.starting:
		s.mu.Unlock()
		if s.flaw == "unknown-is-fine" {
			return nil
		}
		return fail(faas.ErrNotFound, "unknown")
	case t.force != nil && s.flaw == "second-stop-returns":
		s.mu.Unlock()
		return nil
	}
	if grace == 0 && s.flaw == "no-grace-is-default" {
		grace = time.Hour
	}
	s.end(t, grace)
	s.mu.Unlock()
	select {
	case <-t.gone:
		return nil
	case <-ctx.Done():
		if s.flaw == "stop-called-off" {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.postpone()
		}
		return faas.ContextError(ctx, "sim", "stop", id)
	}
}

// end begins the end of a task or shortens its grace. The caller holds mu.
func (s *sim) end(t *simTask, grace time.Duration) {
	deadline := time.Now().Add(grace)
	if t.force != nil {
		if deadline.Before(t.deadline) && s.flaw != "first-grace-holds" {
			t.deadline = deadline
			t.force.Reset(grace)
		}
		return
	}
	t.deadline, t.force = deadline, time.AfterFunc(grace, func() { t.once.Do(func() { close(t.forced) }) })
	if s.flaw == "never-forces" && grace > 0 {
		t.postpone()
	}
	s.ends.Go(func() {
		s.waitEnd(t)
		s.mu.Lock()
		defer s.mu.Unlock()
		t.force.Stop()
		t.once.Do(func() { close(t.forced) }) // cuts the calls in flight
		if s.flaw != "id-burnt" {
			delete(s.tasks, t.spec.ID)
		}
		s.world.set(t.spec.ID, s.closed && s.flaw == "close-leaves")
		if s.flaw != "daemon-survives" && !(s.flaw == "daemon-survives-exit" && t.status.State == driver.StateEnded) {
			s.world.set(t.spec.ID+"/daemon", false)
		}
		if t.status.State = driver.StateGone; t.status.Exit == nil && s.flaw != "gone-without-exit" {
			t.status.Exit = &driver.Exit{Reason: driver.ExitStopped, Code: -1}
		}
		if !(s.closed && s.flaw == "close-silent") {
			s.feed.Publish(t.status)
		}
		close(t.gone)
	})
}

func (t *simTask) postpone() {
	t.deadline = t.deadline.Add(time.Hour)
	t.force.Reset(time.Hour)
}

// waitEnd waits until a task ends by the polite way or by force.
func (s *sim) waitEnd(t *simTask) {
	if s.flaw == "paused-stays" && t.isPaused(s) {
		time.Sleep(time.Hour)
	}
	for {
		s.mu.Lock()
		drained := t.status.State == driver.StateEnded || t.spec.Command[0] != string(IgnoreTerm) && t.calls == 0
		s.mu.Unlock()
		if drained || s.flaw == "rude" {
			return
		}
		select {
		case <-t.forced:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func (s *sim) List(context.Context) ([]driver.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed && s.flaw != "open-after-close" {
		return nil, fail(faas.ErrClosed, "closed")
	}
	all := s.statuses()
	switch {
	case s.flaw == "list-forgets" && len(all) > 2:
		all = all[1:]
	case s.flaw == "list-without-endpoints":
		for i := range all {
			all[i].Endpoint = driver.Endpoint{}
		}
	case s.flaw == "list-shared":
		if len(s.cached) == len(all) {
			return s.cached, nil
		}
		s.cached = all
	}
	return all, nil
}

func (s *sim) statuses() (all []driver.Status) {
	for _, t := range s.tasks {
		if !t.starting || s.flaw == "failure-listed" {
			all = append(all, t.status)
		}
	}
	return all
}

func (s *sim) Watch(ctx context.Context) iter.Seq2[driver.Status, error] {
	s.mu.Lock()
	s.watches++
	deaf := s.flaw == "one-reader" && s.watches > 1
	s.mu.Unlock()
	seq := s.feed.Watch(ctx, func(register func(...driver.Status)) {
		s.mu.Lock()
		defer s.mu.Unlock()
		all := s.statuses()
		if s.flaw == "no-snapshot" && len(all) > 1 {
			all = all[:1]
		}
		register(all...)
	})
	return func(yield func(driver.Status, error) bool) {
		gone := 0
		for st, err := range seq {
			if st.State == driver.StateGone {
				gone++
			}
			switch {
			case err != nil && s.flaw == "watch-ends-silently":
				return
			case err == nil && deaf && st.State != driver.StateRunning, s.flaw == "ends-missed" && gone == 3 && st.State == driver.StateGone:
				continue
			case err == nil && st.State == driver.StateEnded && s.flaw == "ended-unseen":
				continue
			}
			if !yield(st, err) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.left = s.flaw == "reader-missed"
				return
			}
		}
	}
}

func (s *sim) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.finished
		if s.flaw == "closed-once" {
			return fail(faas.ErrClosed, "closed")
		}
		return nil
	}
	s.closed = true
	close(s.closing)
	for _, t := range s.tasks {
		if !(s.flaw == "close-waits" && t.force != nil) && !t.starting {
			s.end(t, 0)
		}
	}
	s.mu.Unlock()
	s.ends.Wait()
	s.feed.Close()
	close(s.finished)
	return nil
}

func simEnv(flaw string, t driver.Task) map[string]string {
	env := maps.Clone(t.Env)
	env["PORT"] = "8080"
	switch flaw {
	case "env-inherited":
		for _, k := range []string{"PATH", "HOME", "PWD"} {
			env[k] = os.Getenv(k)
		}
	case "env-lost":
		delete(env, "KIT_EMPTY")
	}
	return env
}
