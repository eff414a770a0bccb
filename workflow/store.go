package workflow

import (
	"context"
	"io"
	"iter"

	"github.com/joinery/faas"
)

// Store is the workflow execution storage (W4): the logs of executions, their snapshots,
// their large payloads, and an index of their records. Safe for concurrent use; one engine at
// a time has it open. What it promises of a crash is the implementation's to say.
//
// A store that failed to make a write durable is poisoned: that write and every later one
// is ErrUnavailable until it is opened again, since nobody knows what is on disk. After Close
// every method but Close returns ErrClosed.
type Store interface {
	Logs
	Executions
	// Close frees everything; what was acknowledged stays. Twice is nil.
	io.Closer
}

// Logs is the log half of a Store.
type Logs interface {
	// Append commits a batch: all of it or nothing, durable (as strictly as the store promises) before
	// it returns. Batches of one execution are serialised by its After; those of different
	// executions share the way to the disk. The batch belongs to the caller again afterwards. Errors:
	// ErrConflict (the log does not end at After; or for After 0, the execution exists),
	// ErrNotFound (no such execution), ErrExhausted (no space; nothing was written), ErrUnavailable
	// (poisoned), ErrInvalidArgument (Batch.Validate, TrimBefore is after the snapshot, or Record has another Started
	// than before).
	Append(ctx context.Context, b *Batch) error
	// Read returns up to limit events of a log from Seq from on, in order, their payloads bound to the
	// store; fewer only at the end. Limit 0 means DefaultPage; at most MaxPage. Trimmed events are skipped. Errors:
	// ErrNotFound, ErrCorrupt (naming where), ErrInvalidArgument (the limit).
	Read(ctx context.Context, ref ExecutionRef, from uint64, limit int) ([]Event, error)
	// Payload returns what a batch brought under the digest. Errors: ErrNotFound, ErrCorrupt.
	Payload(ctx context.Context, ref ExecutionRef, d faas.Digest) ([]byte, error)
	// Recover yields every open execution with its latest snapshot and the events after it, each once.
	// An execution whose log is corrupt is yielded with its record (as far as it can be read) and an
	// error that is ErrCorrupt; the others follow. The loop may Append.
	Recover(ctx context.Context) iter.Seq2[*Recovered, error]
}

// Executions is the index half of a Store.
type Executions interface {
	// Get returns an execution's record; with ref.Run 0 that of the latest run. Errors: ErrNotFound.
	Get(ctx context.Context, ref ExecutionRef) (Execution, error)
	// List returns records, newest start first and then by reference. A token stays valid while executions come
	// and go: what exists all the time is listed exactly once. Errors: ErrInvalidArgument.
	List(ctx context.Context, q ExecutionQuery) (ExecutionPage, error)
	// Delete removes a closed execution with its log and payloads; ref.Run must be set. Errors:
	// ErrNotFound, ErrConflict (it is open), ErrInvalidArgument (the run is not set).
	Delete(ctx context.Context, ref ExecutionRef) error
}

// Batch is one atomic change of one execution.
type Batch struct {
	// Execution names it; Run must be set.
	Execution ExecutionRef
	// After is the Seq of the last event in the log; 0 creates the execution.
	After uint64
	// Events follow, numbered After+1 and so on.
	Events []Event
	// Record, when not nil, replaces the execution's record. Required when After is 0.
	Record *Execution
	// Payloads are the bytes of payloads that Events hold by reference.
	Payloads map[faas.Digest][]byte
	// Snapshot, when not nil, is the Program's state after the event SnapshotAt, which is not after the last of Events.
	Snapshot   []byte
	SnapshotAt uint64
	// TrimBefore, when not 0, lets the store drop the events before that Seq and the payloads that only they
	// hold. It is never after SnapshotAt+1, and the first event is always kept. A snapshot holds the payloads whose
	// digests stand in it as text, as AppendPayload and Payload.MarshalJSON write them.
	TrimBefore uint64
}

// Validate returns ErrInvalidArgument for a batch that no store takes, whatever it has.
func (b *Batch) Validate() error {
	bad := func(field, rule string) error {
		return faas.Errorf("workflow store", "append", b.Execution.String(), faas.ErrInvalidArgument, "%s %s", field, rule)
	}
	if b.After == 0 {
		if err := b.Execution.Validate(); err != nil {
			return err
		}
		if b.Record == nil {
			return bad("record", "is required to create an execution")
		}
	}
	switch {
	case b.Execution.Run == 0:
		return bad("run", "is not set")
	case b.Record != nil && b.Record.Ref.WithDefaults() != b.Execution.WithDefaults():
		return bad("record", "is that of another execution")
	case len(b.Events) == 0:
		return bad("events", "are empty")
	}
	for i := range b.Events {
		if b.Events[i].Seq != b.After+1+uint64(i) {
			return bad("events", "are not numbered one after the other from after the log's last")
		}
	}
	if last := b.After + uint64(len(b.Events)); b.Snapshot != nil && (b.SnapshotAt == 0 || b.SnapshotAt > last) {
		return bad("snapshot", "is not of an event that the log has")
	}
	return nil
}

// Recovered is an open execution as a store has it.
type Recovered struct {
	Record Execution
	// Snapshot is nil if there is none; SnapshotAt is the Seq that it includes.
	Snapshot   []byte
	SnapshotAt uint64
	// Last is the Seq of the log's last event.
	Last uint64
	// Events are those after SnapshotAt, all of them if there is no snapshot. The first event of the
	// log, an ExecutionStarted, is always in First.
	Events []Event
	First  Event
}
