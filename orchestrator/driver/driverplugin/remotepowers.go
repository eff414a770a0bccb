package driverplugin

import (
	"context"
	"io"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	pb "github.com/joinery/faas/orchestrator/driver/driverplugin/driverpb"
)

// The optional powers of a remote driver. A driver that does not have one says so, as
// ErrUnimplemented.

// Logs implements driver.LogSource.
func (r *remote) Logs(ctx context.Context, id string, o driver.LogOptions) iter.Seq2[driver.LogLine, error] {
	return func(yield func(driver.LogLine, error) bool) {
		fail := func(err error) { yield(driver.LogLine{}, err) }
		if r.closed.Load() {
			fail(closedError("logs", id))
			return
		}
		c, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := r.rpc.Logs(c, &pb.LogsRequest{Id: text(id), Tail: int64(o.Tail), Follow: o.Follow})
		for err == nil {
			var m *pb.LogLine
			if m, err = stream.Recv(); err != nil {
				break
			}
			l, bad := lineFrom(m)
			if bad != nil {
				fail(r.broke("logs", id, bad))
				return
			}
			if !yield(l, nil) {
				return
			}
		}
		if err != io.EOF {
			fail(r.fail(ctx, "logs", id, err))
		}
	}
}

// Recover implements driver.Recoverer.
func (r *remote) Recover(ctx context.Context, owner string, known []driver.Handle) (driver.Recovery, error) {
	var none driver.Recovery
	if err := faas.ValidateName("owner", owner); err != nil {
		return none, err
	}
	c, cancel, err := r.begin(ctx, "recover", owner, recoverTimeout)
	if err != nil {
		return none, err
	}
	defer cancel()
	stream, err := r.rpc.Recover(c)
	if err != nil {
		return none, r.fail(ctx, "recover", owner, err)
	}
	batch := &pb.RecoverRequest{Owner: owner}
	size := 0
	lost := []driver.Loss{}
	send := func() {
		if err == nil {
			err = stream.Send(batch)
		}
		batch, size = &pb.RecoverRequest{}, 0
	}
	for _, h := range known {
		if bad := h.Validate(r.info.Name); bad != nil { // nothing a message should be made of
			lost = append(lost, driver.Loss{ID: h.ID, Err: bad})
			continue
		}
		m := handleTo(h)
		if n := proto.Size(m); size+n > maxMessage/2 {
			send()
		}
		batch.Known = append(batch.Known, m)
		size += proto.Size(m)
	}
	send()
	if err != nil && err != io.EOF {
		return none, r.fail(ctx, "recover", owner, err)
	}
	m, err := stream.CloseAndRecv()
	if err != nil {
		return none, r.fail(ctx, "recover", owner, err)
	}
	found := recoveryFrom(m)
	found.Lost = append(found.Lost, lost...)
	return found, nil
}

// Handle implements driver.Recoverer.
func (r *remote) Handle(ctx context.Context, id string) (driver.Handle, error) {
	c, cancel, err := r.begin(ctx, "handle", id, callTimeout)
	if err != nil {
		return driver.Handle{}, err
	}
	defer cancel()
	m, err := r.rpc.GetHandle(c, &pb.HandleRequest{Id: text(id)})
	if err != nil {
		return driver.Handle{}, r.fail(ctx, "handle", id, err)
	}
	h := handleFrom(m)
	if err := h.Validate(r.info.Name); err != nil {
		return driver.Handle{}, r.broke("handle", id, err)
	}
	return h, nil
}

// Pause implements driver.Pauser.
func (r *remote) Pause(ctx context.Context, id string) error {
	c, cancel, err := r.begin(ctx, "pause", id, callTimeout)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = r.rpc.Pause(c, &pb.PauseRequest{Id: text(id)})
	return r.fail(ctx, "pause", id, err)
}

// Resume implements driver.Pauser.
func (r *remote) Resume(ctx context.Context, id string) error {
	c, cancel, err := r.begin(ctx, "resume", id, callTimeout)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = r.rpc.Resume(c, &pb.ResumeRequest{Id: text(id)})
	return r.fail(ctx, "resume", id, err)
}

// Stats implements driver.StatsSource.
func (r *remote) Stats(ctx context.Context, id string) (driver.Stats, error) {
	c, cancel, err := r.begin(ctx, "stats", id, callTimeout)
	if err != nil {
		return driver.Stats{}, err
	}
	defer cancel()
	m, err := r.rpc.GetStats(c, &pb.StatsRequest{Id: text(id)})
	if err != nil {
		return driver.Stats{}, r.fail(ctx, "stats", id, err)
	}
	st, err := statsFrom(m)
	if err != nil {
		return driver.Stats{}, r.broke("stats", id, err)
	}
	return st, nil
}
