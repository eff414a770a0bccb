package dag

import (
	"bytes"
	"strconv"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// mapped is where a mapped task stands. A window of instances is open at any time, so what an
// execution holds open is bounded however long the list is.
type mapped struct {
	list    workflow.Payload
	text    []byte   // of list; nil until it is looked at
	ends    []uint32 // where the items begin and end in text, in turn
	status  []status
	output  []workflow.Payload // nil if nobody reads it
	next    int                // the first instance that was not opened
	open    int
	done    int
	failed  int
	skipped int
}

// load makes the items accessible, anew after a restore.
func (m *mapped) load() error {
	if m.text != nil {
		return nil
	}
	text, err := payloadJSON(m.list)
	if err != nil {
		return err
	}
	if text = bytes.TrimSpace(text); text[0] != '[' {
		return fault("a task is mapped over a list, not over %s", clip(text))
	}
	if uint64(len(text)) > 1<<32-1 {
		return fault("the list is longer than 4 GiB")
	}
	at := 0
	members(text, func(_, value []byte) bool {
		at = cap(text) - cap(value)
		m.ends = append(m.ends, uint32(at), uint32(at+len(value)))
		return true
	})
	if m.status != nil && m.items() != len(m.status) {
		return fault("the list has %d items and had %d", m.items(), len(m.status))
	}
	m.text = text
	return nil
}

func (m *mapped) items() int { return len(m.ends) / 2 }

func (m *mapped) item(i int) []byte { return m.text[m.ends[2*i]:m.ends[2*i+1]] }

// expand starts a mapped task.
func (r *run) expand(i int32) {
	t := &r.program.tasks[i]
	v := r.view()
	list, err := t.over.payload(&v)
	m := &mapped{list: list}
	if err == nil {
		err = m.load()
	}
	if f := r.check(err); f != nil {
		r.fail(i, f)
		return
	}
	n := m.items()
	switch {
	case n > t.maxItems:
		r.fail(i, &workflow.Failure{Name: workflow.FailureLimit, Cause: "the list has " + strconv.Itoa(n) + " items, more than " + strconv.Itoa(t.maxItems)})
		return
	case n == 0:
		r.set(i, skipped)
		return
	}
	m.status = make([]status, n)
	if t.read {
		m.output = make([]workflow.Payload, n)
	}
	if r.state.mapped == nil {
		r.state.mapped = map[int32]*mapped{}
	}
	r.state.mapped[i] = m
	for _, next := range r.program.graph.Next(i) {
		r.state.counts[next].total += int32(n) - 1
	}
	r.advance(i)
}

// advance opens instances up to the concurrency, and ends the task after the last one.
func (r *run) advance(i int32) {
	t, m := &r.program.tasks[i], r.state.mapped[i]
	for m.next < len(m.status) && m.open < t.concurrency && r.err == nil && r.state.status[i] == running {
		if r.state.ending != nil && !t.teardown {
			return
		}
		index := m.next
		m.next++
		v := r.view()
		v.item, v.index = m.item(index), index
		input, err := t.input.payload(&v)
		if f := r.check(err); f != nil {
			r.done(i, index, workflow.Payload{}, f)
			continue
		}
		if t.kind == kindValue {
			r.done(i, index, input, nil)
			continue
		}
		m.status[index] = running
		m.open++
		if r.commands == nil && t.concurrency-m.open > 8 { // the first of many
			r.commands = make([]workflow.Command, 0, min(t.concurrency, len(m.status)-index))
		}
		r.commands = append(r.commands, r.open(t, instanceID(t.name, index), input))
	}
	if m.done == len(m.status) && r.state.status[i] == running {
		r.gather(i)
	}
}

func instanceID(name string, index int) string {
	b := make([]byte, 0, len(name)+8)
	b = append(append(b, name...), '[')
	return string(append(strconv.AppendInt(b, int64(index), 10), ']'))
}

// instance takes in the outcome of one instance.
func (r *run) instance(i int32, index int, output workflow.Payload, f *workflow.Failure) {
	m := r.state.mapped[i]
	m.open--
	if err := m.load(); err != nil {
		r.check(err)
		return
	}
	if data, inHand := output.InHand(); f == nil && m.output != nil && inHand {
		// Those after this task hear of the instance now, so what cannot be gathered must fail now.
		_, err := jsonOf(output.MediaType(), data)
		f = r.check(err)
	}
	r.done(i, index, output, f)
	r.advance(i)
}

// done records the end of one instance.
func (r *run) done(i int32, index int, output workflow.Payload, f *workflow.Failure) {
	m := r.state.mapped[i]
	m.done++
	if f != nil {
		m.status[index] = failed
		m.failed++
		if r.state.failure == nil {
			r.state.failure = map[int32]*workflow.Failure{}
		}
		if r.state.failure[i] == nil {
			whole := *f
			whole.Cause = "item " + strconv.Itoa(index) + ": " + f.Cause
			r.state.failure[i] = &whole
		}
		r.tell(i, failed)
		return
	}
	m.status[index] = succeeded
	if m.output != nil {
		m.output[index] = output
	}
	r.tell(i, succeeded)
}

// gather ends a mapped task whose instances have all ended.
func (r *run) gather(i int32) {
	m := r.state.mapped[i]
	if m.output != nil {
		size := len(m.output) + 1
		for _, p := range m.output {
			size += int(min(p.Size(), 1<<20))
		}
		b := append(make([]byte, 0, size), '[')
		for n, p := range m.output {
			if n > 0 {
				b = append(b, ',')
			}
			value, err := payloadJSON(p)
			if f := r.check(err); f != nil {
				if r.err == nil {
					r.fail(i, f)
				}
				return
			}
			b = append(b, value...)
		}
		r.state.output[i] = workflow.Bytes("", append(b, ']'))
	}
	r.shrink(m)
	switch {
	case m.failed > 0:
		r.set(i, failed)
	case m.skipped == len(m.status):
		r.set(i, skipped)
	default:
		r.set(i, succeeded)
	}
}

// shrink forgets what a mapped task that has ended does not need any more; its counts stay.
func (r *run) shrink(m *mapped) { m.list, m.text, m.ends, m.output = workflow.Payload{}, nil, nil, nil }

// dropMapped closes the open instances and skips those that have not ended.
func (r *run) dropMapped(i int32) {
	t, m := &r.program.tasks[i], r.state.mapped[i]
	for index, s := range m.status {
		if s.final() {
			continue
		}
		if s == running {
			r.close(instanceID(t.name, index))
		}
		m.status[index] = skipped
		m.done++
		m.skipped++
		r.tell(i, skipped)
	}
	m.open = 0
	r.shrink(m)
}

// errCorrupt is for snapshots.
func errCorrupt(what string) error {
	return faas.Errorf("workflow", "restore", name, faas.ErrCorrupt, "%s", what)
}
