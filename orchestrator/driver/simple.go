package driver

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/joinery/faas"
)

// Run is an instance that Simple's function has started.
type Run struct {
	// Endpoint is where it serves already.
	Endpoint Endpoint
	// End asks the instance to end, enforces it when ctx ends, and returns when nothing is left of
	// it. It is called once, also for one that has ended by itself. Required.
	End func(ctx context.Context)
	// Exited gives how the instance ended by itself. Nil: it never does.
	Exited <-chan Exit
}

// Simple makes a driver of a function that starts an instance: it does what is the same for
// all drivers, which is everything of the contract but that. The optional powers are left to those who wrap it.
//
//	d := driver.Simple(driver.Info{Name: "mine", Contracts: ...}, func(ctx context.Context, t driver.Task) (driver.Run, error) { ... })
//
// run returns when the instance is ready, or with an error when nothing is left of it. It gets tasks
// that info.Accepts accepts, many at a time, with their ids unique and Concurrency and
// StartTimeout set. ctx ends with the caller's, after StartTimeout, or with Close: it need not tell which.
func Simple(info Info, run func(ctx context.Context, t Task) (Run, error)) Driver {
	d := &simple{info: info, run: run, tasks: map[string]*simpleTask{}, done: make(chan struct{})}
	d.open, d.shut = context.WithCancel(context.Background())
	return d
}

type simple struct {
	info Info
	run  func(context.Context, Task) (Run, error)
	feed Feed

	open context.Context // ends when Close begins
	shut context.CancelFunc
	work sync.WaitGroup
	done chan struct{} // closed when Close is

	mu    sync.Mutex
	tasks map[string]*simpleTask
}

type simpleTask struct {
	status  Status // State is "" while it starts
	run     Run
	ending  bool            // End is under way
	stopped bool            // by Stop or Close
	force   context.Context // ends when the grace does
	hurry   context.CancelFunc
	gone    chan struct{}
}

func (d *simple) closed(op, id string) error {
	if d.open.Err() == nil {
		return nil
	}
	return faas.Errorf(d.info.Name, op, id, faas.ErrClosed, "the driver was closed")
}

// Info implements Driver.
func (d *simple) Info(context.Context) (Info, error) {
	info := d.info
	info.Contracts = slices.Clone(info.Contracts)
	return info, d.closed("info", "")
}

// Start implements Driver.
func (d *simple) Start(ctx context.Context, t Task) (Status, error) {
	if err := d.info.Accepts(&t); err != nil {
		return Status{}, err
	}
	if t.StartTimeout == 0 {
		t.StartTimeout = faas.DefaultStartTimeout
	}
	t.Concurrency = max(t.Concurrency, 1)
	t.Command, t.Env, t.Labels = slices.Clone(t.Command), maps.Clone(t.Env), maps.Clone(t.Labels)
	i, err := d.reserve(ctx, &t)
	if err != nil {
		return Status{}, err
	}
	defer d.work.Done()
	i.status.Started = time.Now()
	within, cancel := context.WithTimeout(ctx, t.StartTimeout)
	defer cancel()
	defer context.AfterFunc(d.open, cancel)()
	i.run, err = d.run(within, t)
	d.mu.Lock()
	over := err == nil || within.Err() != nil
	switch {
	case over && ctx.Err() != nil:
		err = d.undo(i, err, faas.ContextError(ctx, d.info.Name, "start", t.ID))
	case over && d.open.Err() != nil:
		err = d.undo(i, err, d.closed("start", t.ID))
	case over && errors.Is(within.Err(), context.DeadlineExceeded):
		err = d.undo(i, err, faas.Errorf(d.info.Name, "start", t.ID, faas.ErrTimeout, "not ready within %v", t.StartTimeout))
	}
	defer d.mu.Unlock()
	if err != nil {
		delete(d.tasks, t.ID)
		return Status{}, err
	}
	i.status.State, i.status.Endpoint, i.status.Ready = StateRunning, i.run.Endpoint, time.Now()
	d.feed.Publish(i.status)
	if i.run.Exited != nil {
		d.work.Go(func() { d.watch(i) })
	}
	return i.status, nil
}

// reserve takes the id.
func (d *simple) reserve(ctx context.Context, t *Task) (*simpleTask, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.closed("start", t.ID); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, faas.ContextError(ctx, d.info.Name, "start", t.ID)
	}
	if d.tasks[t.ID] != nil {
		return nil, faas.Errorf(d.info.Name, "start", t.ID, faas.ErrAlreadyExists, "a task of that id is listed")
	}
	i := &simpleTask{status: Status{ID: t.ID, Labels: t.Labels}, gone: make(chan struct{})}
	i.force, i.hurry = context.WithCancel(context.Background())
	d.tasks[t.ID] = i
	d.work.Add(1)
	return i, nil
}

// undo ends an instance that nobody wants, by force. The caller holds mu, which it lets go of meanwhile.
func (d *simple) undo(i *simpleTask, failed, why error) error {
	if failed == nil {
		d.mu.Unlock()
		i.hurry()
		i.run.End(i.force)
		d.mu.Lock()
	}
	return why
}

// watch waits for the instance to end by itself.
func (d *simple) watch(i *simpleTask) {
	select {
	case exit := <-i.run.Exited:
		d.mu.Lock()
		ending := i.ending
		i.ending = true
		d.mu.Unlock()
		if ending {
			return
		}
		i.hurry()
		i.run.End(i.force)
		d.mu.Lock()
		defer d.mu.Unlock()
		i.status.State, i.status.Exit = StateEnded, &exit
		if i.stopped {
			d.forget(i)
		} else {
			d.feed.Publish(i.status)
		}
	case <-i.gone:
	}
}

// Stop implements Driver.
func (d *simple) Stop(ctx context.Context, id string, grace time.Duration) error {
	d.mu.Lock()
	if err := d.closed("stop", id); err != nil {
		d.mu.Unlock()
		return err
	}
	i := d.tasks[id]
	if i == nil || i.status.State == "" {
		d.mu.Unlock()
		return faas.Errorf(d.info.Name, "stop", id, faas.ErrNotFound, "no task of that id is listed")
	}
	d.end(i, grace)
	d.mu.Unlock()
	select {
	case <-i.gone:
		return nil
	case <-ctx.Done():
		return faas.ContextError(ctx, d.info.Name, "stop", id)
	}
}

// end begins the end of a listed task, or shortens the grace of one under way. The caller holds mu.
func (d *simple) end(i *simpleTask, grace time.Duration) {
	i.stopped = true
	if i.status.State == StateEnded {
		d.forget(i)
		return
	}
	if grace <= 0 {
		i.hurry()
	} else {
		timer := time.AfterFunc(grace, i.hurry)
		context.AfterFunc(i.force, func() { timer.Stop() })
	}
	if i.ending {
		return
	}
	i.ending = true
	d.work.Go(func() {
		i.run.End(i.force)
		d.mu.Lock()
		defer d.mu.Unlock()
		i.hurry()
		i.status.Exit = &Exit{Reason: ExitStopped, Code: -1}
		d.forget(i)
	})
}

// forget makes the task gone. The caller holds mu.
func (d *simple) forget(i *simpleTask) {
	if d.tasks[i.status.ID] != i {
		return
	}
	i.status.State = StateGone
	delete(d.tasks, i.status.ID)
	d.feed.Publish(i.status)
	close(i.gone)
}

// List implements Driver.
func (d *simple) List(context.Context) ([]Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.closed("list", ""); err != nil {
		return nil, err
	}
	return d.list(), nil
}

func (d *simple) list() []Status {
	all := make([]Status, 0, len(d.tasks))
	for _, i := range d.tasks {
		if i.status.State != "" {
			all = append(all, i.status)
		}
	}
	return all
}

// Watch implements Driver.
func (d *simple) Watch(ctx context.Context) iter.Seq2[Status, error] {
	return d.feed.Watch(ctx, func(register func(...Status)) {
		d.mu.Lock()
		defer d.mu.Unlock()
		register(d.list()...)
	})
}

// Close implements Driver.
func (d *simple) Close() error {
	d.mu.Lock()
	if d.open.Err() != nil {
		d.mu.Unlock()
		<-d.done
		return nil
	}
	d.shut()
	for _, i := range d.tasks {
		if i.status.State != "" {
			d.end(i, 0)
		}
	}
	d.mu.Unlock()
	d.work.Wait()
	d.feed.Close()
	close(d.done)
	return nil
}
