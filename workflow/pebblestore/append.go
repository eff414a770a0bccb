package pebblestore

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

// scratch is memory to encode into; a batch copies what it is given.
type scratch struct{ key, value []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxScratch is the largest that is kept for later.
const maxScratch = 1 << 20

// Append commits a batch.
func (s *Store) Append(ctx context.Context, b *workflow.Batch) error {
	if err := b.Validate(); err != nil {
		return err
	}
	ref := b.Execution.WithDefaults()
	if ctx.Err() != nil {
		return faas.ContextError(ctx, "workflow store", "append", ref.String())
	}
	if err := s.enter("append", ref.String()); err != nil {
		return err
	}
	defer s.leave()
	if err := s.writable("append", ref); err != nil {
		return err
	}
	t := s.acquire(ref)
	defer s.release(ref, t)
	if err := s.load(ref, t); err != nil {
		return s.readError("append", ref.String(), err)
	}
	if err := s.fits(ref, t, b); err != nil {
		return err
	}
	pb := s.db.NewBatch()
	next, err := s.encode(pb, ref, t, b)
	if err != nil {
		_ = pb.Close()
		return s.readError("append", ref.String(), err)
	}
	if err := s.commit(pb, "append", ref); err != nil {
		return err
	}
	t.exists, t.open, t.started, t.last, t.snapshotAt = true, next.open, next.started, next.last, next.snapshotAt
	return nil
}

// fits checks a batch against the log as it is.
func (s *Store) fits(ref workflow.ExecutionRef, t *tail, b *workflow.Batch) error {
	fail := func(class error, format string, args ...any) error {
		return faas.Errorf("workflow store", "append", ref.String(), class, format, args...)
	}
	snapshotAt := t.snapshotAt
	if b.Snapshot != nil {
		snapshotAt = b.SnapshotAt
	}
	switch {
	case b.After == 0 && t.exists:
		return fail(faas.ErrConflict, "the execution exists")
	case b.After != 0 && !t.exists:
		return errNotFound("append", ref)
	case b.After != t.last:
		return fail(faas.ErrConflict, "the log ends at %d, not at %d", t.last, b.After)
	case b.TrimBefore > snapshotAt+1:
		return fail(faas.ErrInvalidArgument, "trim before %d is after the snapshot at %d", b.TrimBefore, snapshotAt)
	case b.After != 0 && b.Record != nil && b.Record.Started.UnixNano() != t.started:
		return fail(faas.ErrInvalidArgument, "the record has another start")
	}
	return nil
}

// encode puts a batch that fits into pb and returns the tail that follows from it.
func (s *Store) encode(pb *pebble.Batch, ref workflow.ExecutionRef, t *tail, b *workflow.Batch) (next *tail, err error) {
	next = &tail{open: t.open, started: t.started, last: b.After + uint64(len(b.Events)), snapshotAt: t.snapshotAt}
	sc := scratches.Get().(*scratch)
	defer func() {
		if cap(sc.value) <= maxScratch {
			scratches.Put(sc)
		}
	}()
	if b.After == 0 {
		next.started = b.Record.Started.UnixNano()
		sc.key = existsKey(sc.key[:0], ref)
		sc.value = binary.BigEndian.AppendUint64(sc.value[:0], uint64(next.started))
		if err := pb.Set(sc.key, sc.value, nil); err != nil {
			return nil, err
		}
	}
	for d, data := range b.Payloads {
		sc.key = payloadKey(sc.key[:0], ref, d)
		if err := pb.Set(sc.key, data, nil); err != nil {
			return nil, err
		}
	}
	if b.Snapshot != nil {
		next.snapshotAt = b.SnapshotAt
		sc.key = dataKey(sc.key[:0], ref, dataSnapshot)
		sc.value = appendSnapshot(sc.value[:0], b.SnapshotAt, b.Snapshot)
		if err := pb.Set(sc.key, sc.value, nil); err != nil {
			return nil, err
		}
	}
	if b.TrimBefore != 0 {
		if err := s.trim(pb, ref, t, b); err != nil {
			return nil, err
		}
	}
	if err := s.encodeEvents(pb, sc, ref, b); err != nil {
		return nil, err
	}
	if b.Record != nil {
		next.open = b.Record.Status.Open()
		if err := s.encodeRecord(pb, sc, ref, t, next, b.Record); err != nil {
			return nil, err
		}
	}
	if pb.Len() > maxBatch {
		return nil, faas.Errorf("workflow store", "append", ref.String(), faas.ErrExhausted, "a batch of %d bytes is more than %d", pb.Len(), maxBatch)
	}
	return next, nil
}

// maxBatch is the largest batch in bytes.
const maxBatch = 1 << 30

// encodeEvents writes the events that the batch does not trim itself.
func (s *Store) encodeEvents(pb *pebble.Batch, sc *scratch, ref workflow.ExecutionRef, b *workflow.Batch) (err error) {
	events := b.Events
	set := func(first uint64, events []workflow.Event) error {
		sc.key = eventsKey(sc.key[:0], ref, first)
		if sc.value, err = appendEvents(sc.value[:0], events); err != nil {
			return err
		}
		return pb.Set(sc.key, sc.value, nil)
	}
	if b.TrimBefore > events[0].Seq {
		if b.After == 0 && b.TrimBefore > 2 {
			if err := set(1, events[:1]); err != nil {
				return err
			}
		}
		if b.After != 0 || b.TrimBefore > 2 {
			events = events[min(int(b.TrimBefore-events[0].Seq), len(events)):]
		}
	}
	if len(events) == 0 {
		return nil
	}
	return set(events[0].Seq, events)
}

// encodeRecord puts the record to the open or the closed ones.
func (s *Store) encodeRecord(pb *pebble.Batch, sc *scratch, ref workflow.ExecutionRef, t, next *tail, x *workflow.Execution) (err error) {
	p := next.position(ref)
	if t.exists && !t.open {
		if err := s.forget(pb, ref, t); err != nil {
			return err
		}
	}
	if t.exists && t.open && !next.open {
		sc.key = recordKey(sc.key[:0], true, p)
		if err := pb.Delete(sc.key, nil); err != nil {
			return err
		}
	}
	if !next.open {
		sc.key = keepKey(sc.key[:0], x.Keep, p)
		if err := pb.Set(sc.key, nil, nil); err != nil {
			return err
		}
	}
	sc.key = recordKey(sc.key[:0], next.open, p)
	if sc.value, err = appendRecord(sc.value[:0], x); err != nil {
		return err
	}
	return pb.Set(sc.key, sc.value, nil)
}

// forget takes a closed execution's record from the closed ones.
func (s *Store) forget(pb *pebble.Batch, ref workflow.ExecutionRef, t *tail) error {
	old, err := s.record(ref, t)
	if err != nil {
		return err
	}
	if err := pb.Delete(keepKey(nil, old.Keep, t.position(ref)), nil); err != nil {
		return err
	}
	return pb.Delete(recordKey(nil, false, t.position(ref)), nil)
}

// writable returns why nothing can be written now.
func (s *Store) writable(op string, ref workflow.ExecutionRef) error {
	if err := s.disk.failed(); err != nil {
		return err
	}
	if s.disk.full() {
		err := faas.Errorf("workflow store", op, ref.String(), faas.ErrExhausted, "the disk is full")
		err.Next = fmt.Sprintf("free space below %s", s.dir)
		err.RetryAfter = time.Second
		return err
	}
	return nil
}

// commit makes a batch durable. The library would rather end than fail; the guard knows.
func (s *Store) commit(pb *pebble.Batch, op string, ref workflow.ExecutionRef) error {
	failpoint.Hit("pebblestore/before-commit")
	err := s.db.Apply(pb, pebble.Sync)
	failpoint.Hit("pebblestore/after-commit")
	if failure := s.disk.failed(); failure != nil {
		return failure
	}
	if err != nil {
		s.disk.poison(op, ref.String(), err)
		return s.disk.failed()
	}
	return pb.Close()
}

func errNotFound(op string, ref workflow.ExecutionRef) error {
	return faas.Errorf("workflow store", op, ref.String(), faas.ErrNotFound, "there is no such execution")
}
