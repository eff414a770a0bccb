package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	crand "crypto/rand"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

// marks are where the log was cut and the state saved.
type marks struct {
	start  uint64 // Seq of the first event of the present log
	last   uint64 // what the latest snapshot includes
	weight int    // its size
	never  bool   // the Program has no snapshots

	// What the next batch brings.
	snapshot []byte
	at, trim uint64
}

// bytesPerEvent is how much of a snapshot one event pays for: so saving costs no more than a constant
// for each event, however large the state is.
const bytesPerEvent = 64

// mark adds to the batch a snapshot that is due, or the one that continues the log.
func (x *run) mark(b *workflow.Batch) {
	m := &x.marks
	since := x.l.seq - m.last
	if m.snapshot == nil && since >= uint64(x.e.limits.Snapshot) && since >= uint64(m.weight/bytesPerEvent) && !x.closed() && x.l.end == nil && x.parked == nil {
		x.save()
	}
	if m.snapshot != nil {
		failpoint.Hit("engine/before-snapshot")
		b.Snapshot, b.SnapshotAt, b.TrimBefore = m.snapshot, m.at, m.trim
		m.last, m.weight = m.at, len(m.snapshot)
		m.snapshot, m.at, m.trim = nil, 0, 0
	}
}

// save takes a snapshot as of the last event. It reports whether there is one.
func (x *run) save() bool {
	if x.marks.never {
		return false
	}
	data, err := x.l.encode(true)
	if err != nil {
		if x.marks.never = errors.Is(err, faas.ErrUnimplemented); !x.marks.never {
			x.e.log.Warn("an execution's state was not saved", "execution", x.ref.String(), "error", err)
			x.marks.last = x.l.seq // try again after as many events
		}
		return false
	}
	x.marks.snapshot, x.marks.at = data, x.l.seq
	return true
}

// rollMedia is the media type of a payload that is a snapshot: the ExecutionContinued event that the
// engine itself makes has one, the one that a Program asked for has its input.
const rollMedia = "application/vnd.joinery.snapshot"

func isRoll(e *workflow.Event) bool { return e.Payload.MediaType() == rollMedia }

// roll continues a log that has grown long as a new one: the state goes on, the events before it are dropped.
func (x *run) roll() {
	if x.l.seq-x.marks.start < uint64(x.e.limits.History) || x.parked != nil || x.closed() || !x.save() {
		return
	}
	failpoint.Hit("engine/before-trim")
	x.marks.trim = x.l.seq + 1
	x.marks.start = x.l.seq + 1
	start := *x.l.start
	x.note(workflow.Event{Kind: workflow.ExecutionContinued, Attempt: x.l.logs + 1, Start: &start, Payload: workflow.Bytes(rollMedia, x.marks.snapshot)})
}

// continued begins the new log that the Program asked for. Signals that nobody consumed are recorded in it again.
func (x *run) continued(e *workflow.Event) {
	data, err := x.l.encode(false)
	if err != nil {
		x.park(err)
		return
	}
	var random [24]byte
	crand.Read(random[:])
	start := *x.l.start
	start.Seed, start.Secret, start.Attributes = binary.LittleEndian.Uint64(random[:]), random[8:], x.l.attributes
	carried := x.l.unconsumed()
	x.marks.snapshot, x.marks.at, x.marks.trim = data, x.l.seq, x.l.seq+1
	x.marks.start = x.l.seq + 1
	e.Attempt, e.Start = x.l.logs+1, &start
	x.note(*e)
	for _, s := range carried {
		if x.l.end == nil && x.parked == nil {
			x.note(s)
		}
	}
}

// saved is the engine's part of a snapshot. The payloads follow it, and then the Program's part.
type saved struct {
	Start     *workflow.Start   `json:"start"`
	Began     time.Time         `json:"began"`
	Deadline  time.Time         `json:"deadline,omitzero"`
	Time      time.Time         `json:"time"`
	Logs      int               `json:"logs"`
	Epoch     int               `json:"epoch,omitempty"`
	Suspended bool              `json:"suspended,omitempty"`
	Canceling bool              `json:"canceling,omitempty"`
	Fresh     bool              `json:"fresh,omitempty"` // there is no Program's part: a new log begins
	Note      string            `json:"note,omitempty"`
	Attrs     map[string]string `json:"attributes,omitempty"`
	Failed    map[string]int    `json:"failed,omitempty"`
	Heard     map[string]uint64 `json:"heard,omitempty"`
	Steps     []savedStep       `json:"steps,omitempty"`
	Signals   []savedSignal     `json:"signals,omitempty"`
	Outbox    []savedSend       `json:"outbox,omitempty"`
}

type savedStep struct {
	Kind    workflow.CommandKind   `json:"kind"`
	Step    string                 `json:"step"`
	Node    string                 `json:"node,omitempty"`
	Target  faas.Ref               `json:"target,omitzero"`
	Name    string                 `json:"name,omitempty"`
	Due     time.Time              `json:"due,omitzero"`
	Options *workflow.StepOptions  `json:"options,omitempty"`
	Child   *workflow.ChildOptions `json:"child,omitempty"`
	Opened  time.Time              `json:"opened"`
	Attempt int                    `json:"attempt"`
	Lost    int                    `json:"lost,omitempty"`
	Again   time.Time              `json:"again,omitzero"`
	Retries []int                  `json:"retries,omitempty"`
	Failure *workflow.Failure      `json:"failure,omitempty"`
}

type savedSignal struct {
	Name string `json:"name"`
	Seq  uint64 `json:"seq"`
}

type savedSend struct {
	To      workflow.ExecutionRef `json:"to"`
	Name    string                `json:"name"`
	Ordinal uint64                `json:"ordinal"`
	At      time.Time             `json:"at"`
}

const snapshotFormat = 1

// encode returns the ledger as a snapshot; without the Program's part if a new log begins with it.
func (l *ledger) encode(program bool) ([]byte, error) {
	s := saved{Start: l.start, Began: l.began, Deadline: l.deadline, Time: l.time, Logs: l.logs, Epoch: l.epoch, Suspended: l.suspended,
		Canceling: l.canceling, Fresh: !program, Note: l.note, Attrs: l.attributes, Heard: l.heard}
	var tail []byte
	for _, o := range l.outbox {
		s.Outbox = append(s.Outbox, savedSend{o.to, o.name, o.ordinal, o.at})
		tail = workflow.AppendPayload(tail, o.value)
	}
	if program {
		s.Failed = l.failed
		for o := l.first; o != nil; o = o.next {
			c := &o.cmd
			s.Steps = append(s.Steps, savedStep{c.Kind, c.Step, c.Node, c.Target, c.Name, c.Due, c.Options, c.Child, o.opened, o.attempt, o.lost, o.due, o.retries, o.failure})
			tail = workflow.AppendPayload(tail, c.Payload)
		}
		for _, g := range l.unconsumed() {
			s.Signals = append(s.Signals, savedSignal{g.Name, g.Seq})
			tail = workflow.AppendPayload(tail, g.Payload)
		}
		state, err := l.snapshot()
		if err != nil {
			return nil, err
		}
		tail = append(tail, state...)
	}
	head, err := json.Marshal(&s)
	if err != nil {
		return nil, faas.Errorf(component, "snapshot", l.ref.String(), faas.ErrInternal, "%w", err)
	}
	b := append(make([]byte, 0, len(head)+len(tail)+8), snapshotFormat)
	b = binary.AppendUvarint(b, uint64(len(head)))
	return append(append(b, head...), tail...), nil
}

// snapshot asks the Program; a panic of it is an error.
func (l *ledger) snapshot() (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = faas.Errorf(component, "snapshot", l.ref.String(), faas.ErrInternal, "the program panicked: %v", p)
		}
	}()
	return l.program.Snapshot(l.state)
}

// decode makes the ledger what it was when the snapshot was taken, after the event seq.
func (l *ledger) decode(data []byte, seq uint64, source workflow.PayloadSource) error {
	corrupt := func(format string, args ...any) error {
		return faas.Errorf(component, "restore", l.ref.String(), faas.ErrCorrupt, "snapshot at %d: "+format, append([]any{seq}, args...)...)
	}
	if len(data) == 0 || data[0] != snapshotFormat {
		return corrupt("it has another format")
	}
	n, size := binary.Uvarint(data[1:])
	if size <= 0 || n > uint64(len(data)-1-size) {
		return corrupt("it is cut off")
	}
	head, tail := data[1+size:1+size+int(n)], data[1+size+int(n):]
	var s saved
	if err := json.Unmarshal(head, &s); err != nil {
		return corrupt("%w", err)
	}
	if s.Start == nil {
		return corrupt("it has no start")
	}
	l.seq, l.time, l.start, l.began, l.deadline, l.logs, l.epoch = seq, s.Time, s.Start, s.Began, s.Deadline, s.Logs, s.Epoch
	l.suspended, l.canceling, l.note, l.attributes, l.failed, l.heard = s.Suspended, s.Canceling, s.Note, s.Attrs, s.Failed, s.Heard
	var err error
	for _, o := range s.Outbox {
		sent := send{to: o.To, name: o.Name, ordinal: o.Ordinal, at: o.At}
		if sent.value, tail, err = workflow.DecodePayload(tail, source); err != nil {
			return err
		}
		l.outbox = append(l.outbox, sent)
	}
	for i := range s.Steps {
		o := &s.Steps[i]
		open := &step{opened: o.Opened, attempt: o.Attempt, lost: o.Lost, due: o.Again, retries: o.Retries, failure: o.Failure}
		open.cmd = workflow.Command{Kind: o.Kind, Step: o.Step, Node: o.Node, Target: o.Target, Name: o.Name, Due: o.Due, Options: o.Options, Child: o.Child}
		if open.cmd.Payload, tail, err = workflow.DecodePayload(tail, source); err != nil {
			return err
		}
		l.insert(open)
	}
	for _, g := range s.Signals {
		var p workflow.Payload
		if p, tail, err = workflow.DecodePayload(tail, source); err != nil {
			return err
		}
		if l.signals == nil {
			l.signals = make(map[string][]signal)
		}
		l.signals[g.Name] = append(l.signals[g.Name], signal{g.Seq, p})
	}
	if s.Fresh {
		return nil
	}
	return l.restore(tail, source)
}

// restore gives the Program its part; a panic of it is an error.
func (l *ledger) restore(data []byte, source workflow.PayloadSource) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = faas.Errorf(component, "restore", l.ref.String(), faas.ErrConflict, "the program panicked: %v", p)
		}
	}()
	l.state, err = l.program.Restore(data, source)
	return err
}
