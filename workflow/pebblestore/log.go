package pebblestore

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/held"
)

// logReader reads the data of one execution, or of one after the other.
type logReader struct {
	s   *Store
	ref workflow.ExecutionRef
	it  *pebble.Iterator
	key []byte
}

func (s *Store) openLog(ref workflow.ExecutionRef) (*logReader, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindData}, UpperBound: []byte{kindData + 1}})
	if err != nil {
		return nil, err
	}
	return &logReader{s: s, ref: ref, it: it}, nil
}

// close ends the reading; errors have been told by the methods.
func (l *logReader) close() { _ = l.it.Close() }

// value copies the value that the iterator stands on.
func (l *logReader) value() ([]byte, error) {
	v, err := l.it.ValueAndErr()
	return bytes.Clone(v), err
}

// snapshot returns the latest one; at is 0 if there is none.
func (l *logReader) snapshot() (at uint64, snapshot []byte, err error) {
	l.key = dataKey(l.key[:0], l.ref, dataSnapshot)
	if !l.it.SeekGE(l.key) || !bytes.Equal(l.it.Key(), l.key) {
		return 0, nil, l.it.Error()
	}
	v, err := l.value()
	if err != nil {
		return 0, nil, err
	}
	if at, snapshot, err = decodeSnapshot(v); err != nil {
		return 0, nil, l.s.valueError("read", l.ref.String(), l.key, err)
	}
	return at, snapshot, nil
}

// batch returns the Seq that the batch under the iterator begins with; ok is false if it stands elsewhere.
func (l *logReader) batch() (first uint64, ok bool) {
	if !l.it.Valid() {
		return 0, false
	}
	l.key = dataKey(l.key[:0], l.ref, dataEvents)
	k := l.it.Key()
	if !bytes.HasPrefix(k, l.key) {
		return 0, false
	}
	return seqOf(k)
}

// seek goes to the batch with the event seq, or if that was trimmed to the next one.
func (l *logReader) seek(seq uint64) (first uint64, ok bool, err error) {
	if first, ok := l.batch(); ok && first == seq {
		return first, true, nil
	}
	l.key = eventsKey(l.key[:0], l.ref, seq)
	l.it.SeekGE(l.key)
	if err := l.it.Error(); err != nil {
		return 0, false, err
	}
	if first, ok := l.batch(); ok && first == seq {
		return first, true, nil
	}
	// It is in the batch before, or it is not there and the one after that is meant.
	l.it.Prev()
	if first, ok := l.batch(); ok {
		return first, true, nil
	}
	if err := l.it.Error(); err != nil {
		return 0, false, err
	}
	return l.next()
}

func (l *logReader) next() (first uint64, ok bool, err error) {
	l.it.Next()
	first, ok = l.batch()
	return first, ok, l.it.Error()
}

// last returns the Seq of the last event that is there; 0 for none.
func (l *logReader) last() (uint64, error) {
	l.key = dataKey(l.key[:0], l.ref, dataEvents+1)
	l.it.SeekLT(l.key)
	first, ok := l.batch()
	if !ok {
		return 0, l.it.Error()
	}
	events, err := l.decode(nil, first)
	if err != nil {
		return 0, err
	}
	return events[len(events)-1].Seq, nil
}

// decode appends the events of the batch under the iterator.
func (l *logReader) decode(events []workflow.Event, first uint64) ([]workflow.Event, error) {
	v, err := l.value()
	if err != nil {
		return events, err
	}
	events, err = decodeEvents(events, first, v, l.s.source(l.ref))
	if err != nil {
		return events, l.s.valueError("read", l.ref.String(), l.it.Key(), err)
	}
	return events, nil
}

// events appends up to limit events from Seq from on; 0 is no limit.
func (l *logReader) events(events []workflow.Event, from uint64, limit int) ([]workflow.Event, error) {
	first, ok, err := l.seek(max(from, 1))
	done := len(events)
	for ; ok && err == nil; first, ok, err = l.next() {
		before := len(events)
		if events, err = l.decode(events, first); err != nil {
			return events, err
		}
		if before == done { // the batch may begin before from
			skip := 0
			for skip < len(events)-before && events[before+skip].Seq < from {
				skip++
			}
			events = append(events[:before], events[before+skip:]...)
		}
		if limit > 0 && len(events)-done >= limit {
			return events[:done+limit], nil
		}
	}
	return events, err
}

// payloads returns the keys of the payloads.
func (l *logReader) payloads() (digests []faas.Digest, err error) {
	l.key = dataKey(l.key[:0], l.ref, dataPayload)
	prefix := bytes.Clone(l.key)
	for l.it.SeekGE(prefix); l.it.Valid() && bytes.HasPrefix(l.it.Key(), prefix); l.it.Next() {
		digests = append(digests, faas.Digest(l.it.Key()[len(prefix):]))
	}
	return digests, l.it.Error()
}

// trim adds to the batch what drops the events before Seq before, but the first, and the payloads that nothing
// else holds. snapshot is the one that is going to be the latest, if b brings one.
func (s *Store) trim(pb *pebble.Batch, ref workflow.ExecutionRef, t *tail, b *workflow.Batch) error {
	l, err := s.openLog(ref)
	if err != nil {
		return err
	}
	defer l.close()
	keep := held.Digests{}
	for i := range b.Events {
		if b.Events[i].Seq >= b.TrimBefore {
			keep.Event(&b.Events[i])
		}
	}
	if b.After > 0 {
		if err := s.trimEvents(pb, l, b.TrimBefore, keep); err != nil {
			return err
		}
	} else {
		keep.Event(&b.Events[0])
	}
	digests, err := l.payloads()
	if err != nil {
		return err
	}
	for d := range b.Payloads {
		digests = append(digests, d)
	}
	if len(digests) == 0 {
		return nil
	}
	record := b.Record
	if record == nil {
		x, err := s.record(ref, t)
		if err != nil {
			return err
		}
		record = &x
	}
	keep.Record(record)
	snapshot := b.Snapshot
	if snapshot == nil {
		if _, snapshot, err = l.snapshot(); err != nil {
			return err
		}
	}
	keep.Snapshot(snapshot)
	for _, d := range digests {
		if _, ok := keep[d]; !ok {
			if err := pb.Delete(payloadKey(nil, ref, d), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// trimEvents drops events that are in the store and notes what the others hold. Batches that are dropped
// in part are written again.
func (s *Store) trimEvents(pb *pebble.Batch, l *logReader, before uint64, keep held.Digests) error {
	before = max(before, 2)
	first, err := l.events(nil, 1, 1)
	if err != nil {
		return err
	}
	if len(first) == 0 || first[0].Seq != 1 {
		return s.valueError("append", l.ref.String(), eventsKey(nil, l.ref, 1), errors.New("the first event is missing"))
	}
	keep.Event(&first[0])
	rest, err := l.events(nil, before, 0)
	if err != nil {
		return err
	}
	for i := range rest {
		keep.Event(&rest[i])
	}
	// The batch that begins before the cut and reaches over it is written again from the cut on.
	l.key = eventsKey(l.key[:0], l.ref, before)
	cut := bytes.Clone(l.key)
	var over []byte
	l.it.SeekLT(cut)
	if start, ok := l.batch(); ok {
		v, err := l.value()
		if err != nil {
			return err
		}
		if over, err = dropEvents(v, before-start); err != nil {
			return s.valueError("append", l.ref.String(), l.it.Key(), err)
		}
	}
	if err := l.it.Error(); err != nil {
		return err
	}
	one, err := workflow.AppendEvent(nil, &first[0])
	if err != nil {
		return err
	}
	if before > 2 {
		if err := pb.DeleteRange(eventsKey(nil, l.ref, 2), cut, nil); err != nil {
			return err
		}
	}
	if err := pb.Set(eventsKey(nil, l.ref, 1), one, nil); err != nil {
		return err
	}
	if len(over) > 0 {
		return pb.Set(cut, over, nil)
	}
	return nil
}
