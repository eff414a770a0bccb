package storetest

import (
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

var readClauses = []clause{
	{Name: "read/pages", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 4) // batches of different sizes
		put(tb, s, &workflow.Batch{Execution: x, After: 4, Events: events(5, 1)})
		put(tb, s, &workflow.Batch{Execution: x, After: 5, Events: events(6, 7)})
		put(tb, s, &workflow.Batch{Execution: x, After: 12, Events: events(13, 2)})
		start(tb, s, ref("b"), 20) // another log lies beside it
		for from := uint64(0); from <= 16; from++ {
			for _, limit := range []int{1, 2, 3, 5, 100} {
				first := max(from, 1)
				wantSeqs(tb, "a page", read(tb, s, x, from, limit), first, min(first+uint64(limit)-1, 14))
			}
		}
	}},
	{Name: "read/limits", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, workflow.MaxPage+workflow.DefaultPage)
		wantSeqs(tb, "the default page", read(tb, s, x, 1, 0), 1, workflow.DefaultPage)
		wantSeqs(tb, "the largest page", read(tb, s, x, 1, workflow.MaxPage), 1, workflow.MaxPage)
		for _, limit := range []int{-1, workflow.MaxPage + 1} {
			_, err := s.Read(tb.Context(), x, 1, limit)
			wantClass(tb, err, faas.ErrInvalidArgument, "a page of %d", limit)
		}
	}},
	{Name: "read/not-found", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		start(tb, s, ref("a"), 1)
		second := ref("a")
		second.Run = 2
		for _, x := range []workflow.ExecutionRef{ref("b"), second, {Namespace: "other", ID: "a", Run: 1}, {ID: "aa"}} {
			_, err := s.Read(tb.Context(), x, 1, 0)
			wantClass(tb, err, faas.ErrNotFound, "Read(%s)", x)
		}
	}},
	{Name: "read/result-is-the-callers", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 3)
		es := read(tb, s, x, 1, 0)
		for i := range es {
			es[i] = workflow.Event{}
		}
		_ = append(es, workflow.Event{Seq: 99})
		put(tb, s, &workflow.Batch{Execution: x, After: 3, Events: events(4, 1)})
		wantEvents(tb, "the log", read(tb, s, x, 1, 0), events(1, 4))
	}},
}

var payloadClauses = []clause{
	{Name: "payload/bytes-of-a-digest", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x, other := ref("a"), ref("b")
		start(tb, s, x, 1)
		start(tb, s, other, 1)
		for i, text := range []string{"one", "", "three\x00\xff"} {
			p, d, data := large(text)
			es := events(uint64(i)+2, 1)
			es[0].Payload = p
			put(tb, s, &workflow.Batch{Execution: x, After: uint64(i) + 1, Events: es, Payloads: map[faas.Digest][]byte{d: data}})
			if got, err := s.Payload(tb.Context(), x, d); err != nil || string(got) != text {
				tb.Errorf("Payload(%s): %q, %v; want %q", d, got, err, text)
			}
			_, err := s.Payload(tb.Context(), other, d)
			wantClass(tb, err, faas.ErrNotFound, "the payload of another execution")
		}
		_, err := s.Payload(tb.Context(), x, digest([]byte("never")))
		wantClass(tb, err, faas.ErrNotFound, "a digest that never came")
		_, err = s.Payload(tb.Context(), ref("c"), digest([]byte("one")))
		wantClass(tb, err, faas.ErrNotFound, "an execution that never came")
	}},
	{Name: "payload/bound-in-events", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		p, d, data := large("output")
		q, e, body := large("details")
		es := events(1, 3)
		es[1].Payload = p
		es[2].Payload, es[2].Kind, es[2].Failure = workflow.Payload{}, workflow.StepFailed, &workflow.Failure{Name: "Boom", Details: q}
		put(tb, s, &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: es, Payloads: map[faas.Digest][]byte{d: data, e: body}})
		check := func(what string, es []workflow.Event) {
			if len(es) != 3 || es[2].Failure == nil {
				tb.Errorf("%s: %d events", what, len(es))
				return
			}
			for want, p := range map[string]workflow.Payload{"output": es[1].Payload, "details": es[2].Failure.Details} {
				if got, err := p.Bytes(tb.Context()); err != nil || string(got) != want {
					tb.Errorf("%s: payload %q, %v; want %q", what, got, err, want)
				}
			}
		}
		check("Read", read(tb, s, x, 1, 0))
		if r := recovered(tb, s)[x]; r != nil {
			check("Recover", r.Events)
		} else {
			tb.Error("it is not recovered")
		}
	}},
	{Name: "payload/bound-in-records", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		done, failed := ref("done"), ref("failed")
		p, d, data := large("output")
		r := record(done, 0, workflow.StatusSucceeded)
		r.Output = p
		put(tb, s, &workflow.Batch{Execution: done, Record: r, Events: events(1, 1), Payloads: map[faas.Digest][]byte{d: data}})
		f := record(failed, 1, workflow.StatusFailed)
		f.Failure = &workflow.Failure{Name: "Boom", Details: p}
		put(tb, s, &workflow.Batch{Execution: failed, Record: f, Events: events(1, 1), Payloads: map[faas.Digest][]byte{d: data}})
		check := func(what string, x workflow.Execution) {
			p := x.Output
			if x.Failure != nil {
				p = x.Failure.Details
			}
			if got, err := p.Bytes(tb.Context()); err != nil || string(got) != "output" {
				tb.Errorf("%s of %s: payload %q, %v", what, x.Ref, got, err)
			}
		}
		check("Get", get(tb, s, done))
		check("Get", get(tb, s, failed))
		for _, x := range list(tb, s, workflow.ExecutionQuery{}) {
			check("List", x)
		}
	}},
}
