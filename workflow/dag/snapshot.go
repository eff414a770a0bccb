package dag

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// A snapshot holds what cannot be computed: how tasks ended, their outputs, and where mapped tasks and sensors
// stand. The counts follow from it.

const snapshotFormat = 1

type header struct {
	Execution workflow.ExecutionRef       `json:"x"`
	Started   time.Time                   `json:"t"`
	From      string                      `json:"f"`
	To        string                      `json:"u"`
	Failure   map[int32]*workflow.Failure `json:"e,omitempty"`
	Ending    *workflow.Failure           `json:"g,omitempty"`
	Ended     bool                        `json:"d,omitempty"`
	First     int32                       `json:"a"`
	Pokes     map[int32]pokeHeader        `json:"p,omitempty"`
}

type pokeHeader struct {
	N     int       `json:"n"`
	Pause bool      `json:"w,omitempty"`
	Began time.Time `json:"t"`
}

// Snapshot encodes the state. See workflow.Program.
func (p *Program) Snapshot(s workflow.State) ([]byte, error) {
	st, ok := s.(*state)
	if !ok {
		return nil, faas.Errorf("workflow", "snapshot", name, faas.ErrInvalidArgument, "%T is no state of this language", s)
	}
	h := header{Execution: st.execution, Started: st.started, From: st.from, To: st.to, Failure: st.failure, Ending: st.ending, Ended: st.ended, First: st.first}
	for i, k := range st.pokes {
		if h.Pokes == nil {
			h.Pokes = map[int32]pokeHeader{}
		}
		h.Pokes[i] = pokeHeader{k.n, k.pause, k.began}
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, faas.Errorf("workflow", "snapshot", name, faas.ErrInternal, "%w", err)
	}
	b := []byte{snapshotFormat}
	b = binary.AppendUvarint(b, uint64(len(head)))
	b = append(b, head...)
	b = binary.AppendUvarint(b, uint64(len(st.status)))
	b = appendStatuses(b, st.status)
	b = workflow.AppendPayload(b, st.input)
	for _, output := range st.output {
		b = workflow.AppendPayload(b, output)
	}
	b = binary.AppendUvarint(b, uint64(len(st.mapped)))
	for _, i := range slices.Sorted(maps.Keys(st.mapped)) {
		b = appendMapped(binary.AppendUvarint(b, uint64(i)), st.mapped[i])
	}
	return b, nil
}

func appendStatuses(b []byte, list []status) []byte {
	for _, s := range list {
		b = append(b, byte(s))
	}
	return b
}

func appendMapped(b []byte, m *mapped) []byte {
	b = workflow.AppendPayload(b, m.list)
	b = binary.AppendUvarint(b, uint64(len(m.status)))
	b = appendStatuses(b, m.status)
	b = binary.AppendUvarint(b, uint64(m.next))
	if m.output == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	for _, output := range m.output {
		b = workflow.AppendPayload(b, output)
	}
	return b
}

// Restore decodes a snapshot. See workflow.Program.
func (p *Program) Restore(snapshot []byte, source workflow.PayloadSource) (workflow.State, error) {
	d := reader{data: snapshot, source: source}
	if d.byte() != snapshotFormat {
		return nil, errCorrupt("the snapshot has another format")
	}
	var h header
	if err := json.Unmarshal(d.bytes(d.number()), &h); err != nil {
		return nil, errCorrupt(err.Error())
	}
	if n := d.number(); n != len(p.tasks) {
		return nil, errCorrupt("the snapshot has another number of tasks than the definition")
	}
	s := &state{execution: h.Execution, started: h.Started, from: h.From, to: h.To, failure: h.Failure, ending: h.Ending, ended: h.Ended, first: h.First,
		counts: make([]counts, len(p.tasks)), output: make([]workflow.Payload, len(p.tasks))}
	s.status = d.statuses(len(p.tasks))
	s.input = d.payload()
	for i := range s.output {
		s.output[i] = d.payload()
	}
	for i, k := range h.Pokes {
		if s.pokes == nil {
			s.pokes = map[int32]*poke{}
		}
		s.pokes[i] = &poke{k.N, k.Pause, k.Began}
	}
	for range d.number() {
		i := d.number()
		if d.fault == "" && i >= len(p.tasks) {
			d.fault = "the snapshot names a task that there is not"
		}
		m := d.mapped()
		if d.fault != "" {
			break
		}
		if s.mapped == nil {
			s.mapped = map[int32]*mapped{}
		}
		s.mapped[int32(i)] = m
	}
	if len(d.data) > 0 {
		d.fail("the snapshot has something after its end")
	}
	if d.fault != "" {
		return nil, errCorrupt(d.fault)
	}
	for i, st := range s.status {
		if m := s.mapped[int32(i)]; st == running && p.tasks[i].kind == kindPoke && s.pokes[int32(i)] == nil || m != nil && p.tasks[i].over == nil {
			return nil, errCorrupt("the snapshot does not fit the definition")
		}
	}
	p.count(s)
	return s, nil
}

// count computes what follows from the statuses.
func (p *Program) count(s *state) {
	p.initCounts(s)
	for i := range int32(len(p.tasks)) {
		st, m := s.status[i], s.mapped[i]
		if !st.final() {
			s.left++
		}
		for _, n := range p.graph.Next(i) {
			c := &s.counts[n]
			switch {
			case m != nil:
				c.total += int32(len(m.status)) - 1
				for _, one := range m.status {
					if one.final() {
						c.add(one)
					}
				}
			case st.final():
				c.add(st)
			}
			if c.setups > 0 && slices.Contains(p.tasks[n].setups, i) && st == succeeded {
				c.goodSetups++
			} else if c.setups > 0 && slices.Contains(p.tasks[n].setups, i) && st == skipped {
				c.skippedSetups++
			}
		}
	}
}

// reader reads fields one after the other; after a fault every field is zero.
type reader struct {
	data   []byte
	source workflow.PayloadSource
	fault  string
}

func (d *reader) fail(what string) {
	if d.fault == "" {
		d.fault = what
	}
	d.data = nil
}

func (d *reader) bytes(n int) []byte {
	if n > len(d.data) {
		d.fail("the snapshot is cut off")
		return nil
	}
	b := d.data[:n:n]
	d.data = d.data[n:]
	return b
}

func (d *reader) byte() byte {
	if b := d.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// number reads a length, which is never more than the bytes that follow could hold, or a small number.
func (d *reader) number() int {
	n, size := binary.Uvarint(d.data)
	if size <= 0 || n > 1<<31 {
		d.fail("the snapshot is cut off")
		return 0
	}
	d.data = d.data[size:]
	return int(n)
}

func (d *reader) statuses(n int) []status {
	b := d.bytes(n)
	list := make([]status, len(b))
	for i, s := range b {
		if int(s) >= len(states) {
			d.fail("the snapshot has an unknown state")
			return make([]status, n)
		}
		list[i] = status(s)
	}
	if len(list) < n {
		return nil
	}
	return list
}

func (d *reader) payload() workflow.Payload {
	if d.fault != "" {
		return workflow.Payload{}
	}
	p, rest, err := workflow.DecodePayload(d.data, d.source)
	if err != nil {
		d.fail(err.Error())
		return workflow.Payload{}
	}
	d.data = rest
	return p
}

func (d *reader) mapped() *mapped {
	m := &mapped{list: d.payload()}
	m.status = d.statuses(d.number())
	if m.next = d.number(); m.next > len(m.status) {
		d.fail("the snapshot is beyond the end of a list")
	}
	if d.byte() == 1 {
		m.output = make([]workflow.Payload, len(m.status))
		for i := range m.output {
			m.output[i] = d.payload()
		}
	}
	for _, s := range m.status {
		switch s {
		case running:
			m.open++
		case skipped:
			m.skipped++
			m.done++
		case none:
		default:
			m.done++
			if s == failed {
				m.failed++
			}
		}
	}
	return m
}
