package driverplugin

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	pb "github.com/joinery/faas/orchestrator/driver/driverplugin/driverpb"
)

// The bounds of calls whose context has none.
const (
	callTimeout = 10 * time.Second
	// slack is how much longer than the task's own times Start and Stop may take: a driver
	// may have to clean up.
	slack = 30 * time.Second
	// recoverTimeout is for finding and removing whatever is left of a former life.
	recoverTimeout = time.Minute
)

// remote is a driver on the other side of a connection: each method is one call.
type remote struct {
	name string // of the plugin, for people
	rpc  pb.DriverClient
	conn io.Closer // nil: another's
	// silence is how long the other side has owed a sign of life. Nil: it is in this process.
	silence func() time.Duration
	info    driver.Info
	closed  atomic.Bool
}

var (
	_ driver.Driver      = (*remote)(nil)
	_ driver.LogSource   = (*remote)(nil)
	_ driver.Recoverer   = (*remote)(nil)
	_ driver.Pauser      = (*remote)(nil)
	_ driver.StatsSource = (*remote)(nil)
)

// brokenError is the error of a call that never came to an answer.
type brokenError struct{ error }

func (e brokenError) Unwrap() error { return e.error }

// fail makes of what a call returned the error of the driver's method.
func (r *remote) fail(ctx context.Context, op, key string, err error) error {
	e, transport := errorFrom(ctx, op, key, err)
	switch {
	case e == nil:
		return nil
	case transport && r.closed.Load():
		return closedError(op, key)
	case transport:
		return brokenError{e}
	}
	return e
}

// broke is the error of an answer that breaks the protocol.
func (r *remote) broke(op, key string, err error) error {
	e := faas.Errorf(component, op, key, faas.ErrInternal, "the plugin %s breaks the protocol: %w", r.name, err)
	e.Next = "upgrade the plugin, or tell its author"
	return e
}

func closedError(op, key string) error {
	return faas.Errorf(component, op, key, faas.ErrClosed, "the driver was closed")
}

// begin is what each call begins with: its context never lacks a deadline.
func (r *remote) begin(ctx context.Context, op, key string, most time.Duration) (context.Context, context.CancelFunc, error) {
	if r.closed.Load() {
		return nil, nil, closedError(op, key)
	}
	if ctx.Err() != nil {
		return nil, nil, faas.ContextError(ctx, component, op, key)
	}
	bounded, cancel := context.WithTimeout(ctx, most)
	return bounded, cancel, nil
}

// Info implements driver.Driver.
func (r *remote) Info(ctx context.Context) (driver.Info, error) {
	c, cancel, err := r.begin(ctx, "info", "", callTimeout)
	if err != nil {
		return driver.Info{}, err
	}
	defer cancel()
	m, err := r.rpc.GetInfo(c, &pb.InfoRequest{})
	if err != nil {
		return driver.Info{}, r.fail(ctx, "info", "", err)
	}
	info, err := infoFrom(m)
	if err != nil {
		return driver.Info{}, r.broke("info", "", err)
	}
	return info, nil
}

// Start implements driver.Driver.
func (r *remote) Start(ctx context.Context, t driver.Task) (driver.Status, error) {
	st, _, err := r.start(ctx, t)
	return st, err
}

// started is what came of a Start.
type started struct {
	status driver.Status
	handle *driver.Handle
	err    error
}

// start returns when the plugin has answered, which it does when nothing is left of a start that
// failed: also when ctx ends, unless the plugin gives no sign of life.
func (r *remote) start(ctx context.Context, t driver.Task) (driver.Status, *driver.Handle, error) {
	fail := func(err error) (driver.Status, *driver.Handle, error) { return driver.Status{}, nil, err }
	if err := r.info.Accepts(&t); err != nil {
		return fail(err)
	}
	m, err := taskTo(&t)
	if err != nil {
		return fail(err)
	}
	request := &pb.StartRequest{Task: m}
	if n := proto.Size(request); n > maxMessage-1<<10 {
		return fail(faas.Errorf(component, "start", t.ID, faas.ErrInvalidArgument, "the task is %d bytes, more than the %d of a message", n, maxMessage))
	}
	ready := t.StartTimeout
	if ready == 0 {
		ready = faas.DefaultStartTimeout
	}
	// The call outlives ctx: the plugin is told of its end, and heard out.
	call, cancel, err := r.begin(context.WithoutCancel(ctx), "start", t.ID, ready+slack)
	if err == nil && ctx.Err() != nil {
		cancel()
		err = faas.ContextError(ctx, component, "start", t.ID)
	}
	if err != nil {
		return fail(err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		request.Timeout = durationTo(max(time.Until(deadline), 1))
	}
	stream, err := r.rpc.Start(call)
	if err == nil {
		err = stream.Send(request)
	}
	if err != nil && err != io.EOF { // after EOF the answer says what is wrong
		cancel()
		return fail(r.fail(ctx, "start", t.ID, err))
	}
	answered := make(chan started, 1)
	go func() {
		defer cancel()
		answered <- r.answer(ctx, stream, t.ID)
	}()
	select {
	case s := <-answered:
		return s.status, s.handle, s.err
	case <-ctx.Done():
	}
	_ = stream.CloseSend()
	over := func(s started) (driver.Status, *driver.Handle, error) {
		if errors.Is(s.err, faas.ErrCanceled) { // that is how the plugin saw it
			s.err = faas.ContextError(ctx, component, "start", t.ID)
		}
		return s.status, s.handle, s.err
	}
	for look := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case s := <-answered:
			look.Stop()
			return over(s)
		case <-look.C:
			if r.silence == nil || r.silence() < mute {
				continue
			}
			look.Stop()
			go func() { // should it wake up again
				if s := <-answered; s.err == nil {
					undo, cancel := context.WithTimeout(context.Background(), slack)
					defer cancel()
					_ = r.Stop(undo, t.ID, 0)
				}
			}()
			return fail(faas.ContextError(ctx, component, "start", t.ID))
		}
	}
}

// answer waits for the plugin's.
func (r *remote) answer(ctx context.Context, stream grpc.ClientStreamingClient[pb.StartRequest, pb.StartResponse], id string) started {
	m := new(pb.StartResponse)
	if err := stream.RecvMsg(m); err != nil {
		// The end of ctx is no answer here: the plugin has its own copy of it.
		err = r.fail(context.WithoutCancel(ctx), "start", id, err)
		if _, transport := err.(brokenError); transport && ctx.Err() != nil {
			err = brokenError{faas.ContextError(ctx, component, "start", id)}
		}
		return started{err: err}
	}
	st, err := statusFrom(m.GetStatus())
	switch {
	case err != nil:
	case st.ID != id:
		err = malformed("status.id", "it is %q, the task's is %q", st.ID, id)
	case st.State != driver.StateRunning:
		err = malformed("status.state", "a task that was just started is %s", st.State)
	}
	s := started{status: st}
	if m.GetHandle() != nil {
		h := handleFrom(m.GetHandle())
		s.handle = &h
		if err == nil {
			err = h.Validate(r.info.Name)
		}
		if err == nil && h.ID != id {
			err = malformed("handle.id", "it is %q, the task's is %q", h.ID, id)
		}
	}
	if err == nil {
		return s
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	_ = r.Stop(undo, id, 0)
	return started{err: r.broke("start", id, err)}
}

// Stop implements driver.Driver.
func (r *remote) Stop(ctx context.Context, id string, grace time.Duration) error {
	c, cancel, err := r.begin(ctx, "stop", id, max(grace, 0)+slack)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = r.rpc.Stop(c, &pb.StopRequest{Id: text(id), Grace: durationTo(grace)})
	return r.fail(ctx, "stop", id, err)
}

// List implements driver.Driver.
func (r *remote) List(ctx context.Context) ([]driver.Status, error) {
	c, cancel, err := r.begin(ctx, "list", "", callTimeout)
	if err != nil {
		return nil, err
	}
	defer cancel()
	stream, err := r.rpc.List(c, &pb.ListRequest{})
	if err != nil {
		return nil, r.fail(ctx, "list", "", err)
	}
	all := []driver.Status{}
	for seen := map[string]bool{}; ; {
		m, err := stream.Recv()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, r.fail(ctx, "list", "", err)
		}
		for _, t := range m.GetTasks() {
			st, err := statusFrom(t)
			if err == nil && seen[st.ID] {
				err = malformed("list.tasks", "the id %q is there twice", st.ID)
			}
			if err == nil && len(seen) >= maxTasks {
				err = malformed("list.tasks", "more than %d", maxTasks)
			}
			if err != nil {
				return nil, r.broke("list", "", err)
			}
			seen[st.ID] = true
			all = append(all, st)
		}
	}
}

// maxTasks bounds what a plugin can make the platform hold.
const maxTasks = 1 << 20

// Watch implements driver.Driver.
func (r *remote) Watch(ctx context.Context) iter.Seq2[driver.Status, error] {
	return func(yield func(driver.Status, error) bool) {
		fail := func(err error) { yield(driver.Status{}, err) }
		if r.closed.Load() {
			fail(closedError("watch", ""))
			return
		}
		c, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := r.rpc.Watch(c, &pb.WatchRequest{})
		for err == nil {
			var m *pb.WatchResponse
			if m, err = stream.Recv(); err != nil {
				break
			}
			st, bad := statusFrom(m.GetStatus())
			if bad != nil {
				fail(r.broke("watch", "", bad))
				return
			}
			if !yield(st, nil) {
				return
			}
		}
		fail(r.ended(ctx, "watch", "", err))
	}
}

// ended is the error of a stream that has no regular end.
func (r *remote) ended(ctx context.Context, op, key string, err error) error {
	if err == io.EOF {
		err = faas.Errorf(component, op, key, faas.ErrUnavailable, "the plugin %s ended the stream", r.name)
	}
	return r.fail(ctx, op, key, err)
}

// Close implements driver.Driver. It returns when the driver on the other side is closed.
func (r *remote) Close() error {
	c, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if r.closed.Swap(true) && r.conn == nil {
		return nil
	}
	// A driver takes a second Close, and returns from it when the first is done.
	_, err := r.rpc.Close(c, &pb.CloseRequest{})
	e, transport := errorFrom(c, "close", "", err)
	if r.conn == nil {
		return e
	}
	_ = r.conn.Close()
	if transport {
		return nil // it was closed before
	}
	return e
}

// closeTimeout is far beyond what a driver needs to kill all its tasks.
const closeTimeout = time.Minute

// mute is for how long a plugin may owe a sign of life before a call that is over by its
// own context no longer waits for it.
const mute = 250 * time.Millisecond
