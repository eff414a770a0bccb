package workloaddeployer

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// Delays between the tries of a removal that fails for no reason of ours.
const (
	removeRetry   = 100 * time.Millisecond
	removeTries   = 8 // 25 s in sum
	removeTimeout = 5 * time.Second
	// removeAgain is when a removal that was accepted is asked for once more.
	removeAgain = time.Second
)

// explainWithin bounds how long a call that broke off waits for the news of the instance's end.
const explainWithin = 100 * time.Millisecond

// instance is one deployed workload. It implements faas.Instance.
type instance struct {
	invoker faas.InvokeCloser // set before Deploy returns it
	id      string
	d       *Deployer
	applied atomic.Bool   // the resource manager has it
	started chan result   // has room for the one result of the start
	done    chan struct{} // closed when it has ended
	gone    chan struct{} // closed when nothing is left of it

	mu       sync.Mutex
	stopped  bool // by Stop
	err      error
	removal  *removal // under way or accepted
	vanished bool     // gone is closed
	ended    bool     // done is closed
}

// result is what came of the start.
type result struct {
	status orchestrator.Status
	err    error
}

// removal is one try of having the workload removed.
type removal struct {
	done chan struct{} // closed when it was accepted or given up
	err  error         // why it was given up
}

func newInstance(d *Deployer, id string) *instance {
	return &instance{d: d, id: id, started: make(chan result, 1), done: make(chan struct{}), gone: make(chan struct{})}
}

// Invoke implements faas.Invoker.
func (i *instance) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	resp, err := i.invoker.Invoke(ctx, req)
	if err != nil && brokeOff(err) {
		err = i.explain(err)
	}
	return resp, err
}

// brokeOff reports whether a call ended as it does when the instance ends: the connection was
// closed before or refused, or ended in the middle.
func brokeOff(err error) bool {
	return errors.Is(err, faas.ErrUnavailable) || errors.Is(err, faas.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// explain waits a moment for the news of the instance's end, which come later than the end
// itself. So whoever gets the error finds Done closed and does not try the same instance again; and how
// it ended (out of memory, say) tells the caller of a call that broke off more than its connection does.
func (i *instance) explain(err error) error {
	moment := time.NewTimer(explainWithin)
	defer moment.Stop()
	select {
	case <-i.done:
	case <-moment.C:
		return err
	}
	switch end := i.Err(); {
	case errors.Is(err, faas.ErrClosed): // its connections went before the call
		return faas.Errorf("function instance", "invoke", i.id, faas.ErrUnavailable, "the instance has ended")
	case end != nil && errors.Is(err, faas.ErrFunction):
		return faas.Errorf("function instance", "invoke", i.id, faas.ErrFunction, "%w (%w)", end, err)
	}
	return err
}

// ID implements faas.Instance.
func (i *instance) ID() string { return i.id }

// Done implements faas.Instance.
func (i *instance) Done() <-chan struct{} { return i.done }

// Err implements faas.Instance.
func (i *instance) Err() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.err
}

// Stop implements faas.Instance.
func (i *instance) Stop(ctx context.Context) error {
	i.mu.Lock()
	if !i.ended {
		i.stopped = true
	}
	i.mu.Unlock()
	r := i.remove()
	select {
	case <-i.gone:
		return nil
	case <-ctx.Done():
		return faas.ContextError(ctx, component, "stop", i.id)
	case <-r.done:
	}
	if r.err != nil {
		return failed("stop", i.id, r.err)
	}
	select {
	case <-i.gone:
		return nil
	case <-ctx.Done():
		return faas.ContextError(ctx, component, "stop", i.id)
	}
}

// shutdown stops a deployed instance. One that is still being deployed is discarded by its Deploy.
func (i *instance) shutdown(ctx context.Context) error {
	i.mu.Lock()
	deployed := i.invoker != nil
	i.mu.Unlock()
	if deployed {
		return i.Stop(ctx)
	}
	select {
	case <-i.gone:
		return nil
	case <-ctx.Done():
		return faas.ContextError(ctx, component, "shut down", i.id)
	}
}

// discard has an instance removed that was not deployed after all. It returns when
// the resource manager has taken note or, of one that does not run, when nothing is left.
// What takes longer goes on behind the caller's back.
func (i *instance) discard(runs bool) {
	i.mu.Lock()
	i.stopped = true
	i.mu.Unlock()
	r := i.remove()
	noted := r.done
	if !runs {
		noted = nil
	}
	budget := time.NewTimer(cleanupBudget)
	defer budget.Stop()
	select {
	case <-i.gone:
	case <-noted:
	case <-budget.C:
	}
}

// remove begins the removal, unless it has begun already. It does not depend on the
// caller, who may have given up.
func (i *instance) remove() *removal {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.removal == nil {
		r := &removal{done: make(chan struct{})}
		i.removal = r
		if i.vanished {
			close(r.done)
		} else {
			go i.removing(r)
		}
	}
	return i.removal
}

// removing has the workload removed, and asks again until it is gone: the news of its end does not come
// when it ended before the watch began.
func (i *instance) removing(r *removal) {
	accepted := false
	settle := func() {
		if !accepted {
			accepted = true
			close(r.done)
		}
	}
	defer settle()
	delay := removeRetry
	for n := 0; ; n++ {
		ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
		err := i.d.cfg.Resources.Remove(ctx, i.id)
		cancel()
		switch {
		case err == nil && !accepted:
			settle()
			delay = removeAgain
		case errors.Is(err, faas.ErrNotFound):
			i.observe(orchestrator.Status{ID: i.id, Phase: orchestrator.PhaseGone})
			return
		case errors.Is(err, faas.ErrClosed):
			i.lost(err)
			return
		case n >= removeTries && !accepted:
			i.d.log.Warn("an instance cannot be removed", "instance", i.id, "error", err)
			i.mu.Lock()
			defer i.mu.Unlock()
			r.err, i.removal = err, nil // the next Stop tries again
			return
		}
		again := time.NewTimer(delay)
		select {
		case <-i.gone:
			again.Stop()
			return
		case <-again.C:
			delay = min(2*delay, resync)
		}
	}
}

// connect makes it callable, and reports false if it has ended meanwhile.
func (i *instance) connect(invoker faas.InvokeCloser) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended || i.stopped {
		return false
	}
	i.invoker = invoker
	return true
}

// observe takes note of a status of its workload.
func (i *instance) observe(s orchestrator.Status) {
	switch s.Phase {
	case orchestrator.PhasePending:
		if s.Error != nil {
			i.settle(result{err: s.Error})
		}
	case orchestrator.PhaseRunning:
		i.settle(result{status: s})
	case orchestrator.PhaseEnded:
		i.end(cause(&s))
		i.remove()
	case orchestrator.PhaseGone:
		i.end(cause(&s))
		i.vanish()
	}
}

// cause is why a workload ended whose end the deployer did not ask for.
func cause(s *orchestrator.Status) error {
	if err := s.Err(); err != nil {
		return err
	}
	why := s.Reason
	if why == "" {
		why = "its workload was removed"
	}
	return faas.Errorf("function instance", "run", s.ID, faas.ErrUnavailable, "%s", why)
}

// lost: the resource manager cannot be asked any more.
func (i *instance) lost(err error) {
	i.end(faas.Errorf("function instance", "run", i.id, faas.ErrUnavailable, "nobody watches it any more: %w", err))
	i.vanish()
}

func (i *instance) settle(r result) {
	select {
	case i.started <- r:
	default:
	}
}

func (i *instance) end(err error) {
	i.settle(result{err: err})
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return
	}
	i.ended = true
	if !i.stopped {
		i.err = err
		i.d.log.Debug("an instance ended", "instance", i.id, "error", err)
	}
	close(i.done)
}

func (i *instance) vanish() {
	i.mu.Lock()
	if i.vanished {
		i.mu.Unlock()
		return
	}
	i.vanished = true
	invoker := i.invoker
	i.mu.Unlock()
	i.d.unregister(i)
	if invoker != nil {
		_ = invoker.Close()
	}
	close(i.gone)
}

// forget drops an instance that never was.
func (i *instance) forget() {
	i.mu.Lock()
	i.stopped = true
	i.mu.Unlock()
	i.end(nil)
	i.vanish()
}
