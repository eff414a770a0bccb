package memstore

import (
	"context"
	"maps"
	"slices"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/held"
)

// history is one execution: its record and its log. Guarded by its shard.
type history struct {
	older  *history // the run before
	gone   bool     // it was removed
	record workflow.Execution
	last   uint64
	// events: the first of the log, and then those up to last without a gap.
	events     []workflow.Event
	payloads   map[faas.Digest][]byte
	snapshot   []byte
	snapshotAt uint64
	source     workflow.PayloadSource // made for the first payload held by reference
}

// roomForEvents is the capacity that a log starts with: most logs of express workflows fit.
const roomForEvents = 8

// source reads the payloads of one execution.
type source struct {
	store *Store
	ref   workflow.ExecutionRef
}

func (s source) Payload(ctx context.Context, d faas.Digest) ([]byte, error) {
	return s.store.Payload(ctx, s.ref, d)
}

// apply takes a batch that fits.
func (h *history) apply(s *Store, b *workflow.Batch) {
	if h.events == nil {
		h.events = make([]workflow.Event, 0, max(roomForEvents, len(b.Events)))
	}
	for i := range b.Events {
		e := b.Events[i]
		h.bind(s, b, &e.Payload)
		e.Failure = h.bindFailure(s, b, e.Failure)
		h.events = append(h.events, e)
	}
	h.last += uint64(len(b.Events))
	if b.Record != nil {
		attributes := h.record.Attributes
		h.record = *b.Record
		h.record.Ref = h.record.Ref.WithDefaults()
		if len(b.Record.Attributes) == 0 || !maps.Equal(attributes, b.Record.Attributes) {
			attributes = maps.Clone(b.Record.Attributes)
		}
		h.record.Attributes = attributes
		h.bind(s, b, &h.record.Output)
		h.record.Failure = h.bindFailure(s, b, h.record.Failure)
	}
	for d, data := range b.Payloads {
		if h.payloads == nil {
			h.payloads = make(map[faas.Digest][]byte)
		}
		if _, ok := h.payloads[d]; !ok {
			h.payloads[d] = append([]byte{}, data...)
		}
	}
	if b.Snapshot != nil {
		h.snapshot, h.snapshotAt = append([]byte{}, b.Snapshot...), b.SnapshotAt
	}
	if b.TrimBefore != 0 {
		h.trim(b.TrimBefore)
	}
}

// bind binds a payload held by reference to the store.
func (h *history) bind(s *Store, b *workflow.Batch, p *workflow.Payload) {
	if _, ok := p.Digest(); ok {
		if h.source == nil {
			h.source = source{s, b.Execution.WithDefaults()}
		}
		*p = p.WithSource(h.source)
	}
}

func (h *history) bindFailure(s *Store, b *workflow.Batch, f *workflow.Failure) *workflow.Failure {
	if f == nil {
		return nil
	}
	if _, ok := f.Details.Digest(); ok {
		bound := *f
		h.bind(s, b, &bound.Details)
		f = &bound
	}
	return f
}

// from returns the events from Seq from on.
func (h *history) from(from uint64) []workflow.Event {
	if from <= 1 {
		return h.events
	}
	second := h.last - uint64(len(h.events)) + 2 // the Seq of events[1]
	if from > h.last {
		return nil
	}
	return h.events[1+max(from, second)-second:]
}

// trim drops the events before Seq before but the first, and the payloads that nothing else holds.
func (h *history) trim(before uint64) {
	h.events = append(slices.Clone(h.events[:1]), h.from(max(before, 2))...)
	if len(h.payloads) == 0 {
		return
	}
	held := held.Digests{}
	for i := range h.events {
		held.Event(&h.events[i])
	}
	held.Record(&h.record)
	held.Snapshot(h.snapshot)
	maps.DeleteFunc(h.payloads, func(d faas.Digest, _ []byte) bool {
		_, ok := held[d]
		return !ok
	})
}

// copyRecord returns the record for a caller to keep.
func (h *history) copyRecord() workflow.Execution {
	x := h.record
	x.Attributes = maps.Clone(x.Attributes)
	return x
}
