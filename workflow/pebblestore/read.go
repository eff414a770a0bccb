package pebblestore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/order"
)

// source reads the payloads of one execution.
type source struct {
	store *Store
	ref   workflow.ExecutionRef
}

func (s source) Payload(ctx context.Context, d faas.Digest) ([]byte, error) {
	return s.store.Payload(ctx, s.ref, d)
}

func (s *Store) source(ref workflow.ExecutionRef) workflow.PayloadSource { return source{s, ref} }

// reading calls f with an execution locked and its tail loaded, so that f sees what is durable.
func (s *Store) reading(ctx context.Context, op string, ref workflow.ExecutionRef, f func(workflow.ExecutionRef, *tail) error) error {
	if ctx.Err() != nil {
		return faas.ContextError(ctx, "workflow store", op, ref.String())
	}
	if err := s.enter(op, ref.String()); err != nil {
		return err
	}
	defer s.leave()
	found, err := s.latest(ref)
	if err != nil {
		return s.readError(op, ref.String(), err)
	}
	if found.Run == 0 {
		return errNotFound(op, ref)
	}
	t := s.acquire(found)
	defer s.release(found, t)
	if err = s.load(found, t); err == nil && !t.exists {
		return errNotFound(op, ref)
	}
	if err == nil {
		err = f(found, t)
	}
	if err != nil {
		return s.readError(op, ref.String(), err)
	}
	return nil
}

// Read returns events of a log.
func (s *Store) Read(ctx context.Context, ref workflow.ExecutionRef, from uint64, limit int) (events []workflow.Event, err error) {
	ref = ref.WithDefaults()
	if limit, err = order.Limit("read", limit); err != nil {
		return nil, err
	}
	err = s.reading(ctx, "read", ref, func(ref workflow.ExecutionRef, _ *tail) error {
		l, err := s.openLog(ref)
		if err != nil {
			return err
		}
		defer l.close()
		events, err = l.events(nil, from, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

// Payload returns the bytes of a payload, checked against its digest.
func (s *Store) Payload(ctx context.Context, ref workflow.ExecutionRef, d faas.Digest) (data []byte, err error) {
	ref = ref.WithDefaults()
	err = s.reading(ctx, "payload", ref, func(ref workflow.ExecutionRef, _ *tail) error {
		var ok bool
		if data, ok, err = s.get(payloadKey(nil, ref, d)); err != nil {
			return err
		}
		if !ok {
			return faas.Errorf("workflow store", "payload", ref.String(), faas.ErrNotFound, "there is no payload %s", d)
		}
		if sum := sha256.Sum256(data); string(d) != "sha256:"+hex.EncodeToString(sum[:]) {
			return s.valueError("payload", ref.String(), payloadKey(nil, ref, d), errors.New("the bytes do not have the digest"))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Get returns an execution's record.
func (s *Store) Get(ctx context.Context, ref workflow.ExecutionRef) (x workflow.Execution, err error) {
	ref = ref.WithDefaults()
	err = s.reading(ctx, "get", ref, func(ref workflow.ExecutionRef, t *tail) error {
		x, err = s.record(ref, t)
		return err
	})
	if err != nil {
		return workflow.Execution{}, err
	}
	return x, nil
}

// record reads the record of an execution whose tail is loaded.
func (s *Store) record(ref workflow.ExecutionRef, t *tail) (workflow.Execution, error) {
	key := recordKey(nil, t.open, t.position(ref))
	v, ok, err := s.get(key)
	if err != nil {
		return workflow.Execution{}, err
	}
	if !ok {
		return workflow.Execution{}, s.valueError("get", ref.String(), key, errors.New("the record is missing"))
	}
	x, err := decodeRecord(v, s.source)
	if err != nil {
		return workflow.Execution{}, s.valueError("get", ref.String(), key, err)
	}
	return x, nil
}

// Delete removes a closed execution.
func (s *Store) Delete(ctx context.Context, ref workflow.ExecutionRef) error {
	ref = ref.WithDefaults()
	if ref.Run == 0 {
		return faas.Errorf("workflow store", "delete", ref.String(), faas.ErrInvalidArgument, "the run is not set")
	}
	return s.reading(ctx, "delete", ref, func(ref workflow.ExecutionRef, t *tail) error {
		if t.open {
			return faas.Errorf("workflow store", "delete", ref.String(), faas.ErrConflict, "the execution is open")
		}
		// A full disk does not keep a delete from happening, as long as the reserve is not used up.
		if err := s.disk.failed(); err != nil {
			return err
		}
		if s.disk.stalled.Load() > 0 {
			return s.writable("delete", ref)
		}
		pb := s.db.NewBatch()
		err := errors.Join(s.forget(pb, ref, t), pb.Delete(existsKey(nil, ref), nil), s.forgetData(pb, ref))
		if err != nil {
			_ = pb.Close()
			return err
		}
		if err := s.commit(pb, "delete", ref); err != nil {
			return err
		}
		t.loaded = false
		return nil
	})
}

// fewKeys is up to how many keys are deleted one by one: a range costs every reader a little.
const fewKeys = 32

// forgetData deletes an execution's events, payloads and snapshot.
func (s *Store) forgetData(pb *pebble.Batch, ref workflow.ExecutionRef) error {
	begin, end := dataKey(nil, ref, dataSnapshot), dataKey(nil, ref, dataPayload+1)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: begin, UpperBound: end})
	if err != nil {
		return err
	}
	var keys [][]byte
	for it.First(); it.Valid() && len(keys) <= fewKeys; it.Next() {
		keys = append(keys, bytes.Clone(it.Key()))
	}
	// Damage is no reason to keep what is no longer wanted.
	if err := it.Close(); err != nil || len(keys) > fewKeys {
		return pb.DeleteRange(begin, end, nil)
	}
	for _, k := range keys {
		if err := pb.Delete(k, nil); err != nil {
			return err
		}
	}
	return nil
}
