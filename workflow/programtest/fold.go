package programtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// encodable is a Command without what JSON cannot say.
type encodable struct {
	workflow.Command
	Options    *workflow.StepOptions
	Definition *workflow.Definition
}

// text is a command as text, for comparison and messages.
func text(c workflow.Command) string {
	e := encodable{Command: c, Options: c.Options}
	if c.Child != nil {
		e.Definition = c.Child.Definition
	}
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Sprintf("%+v", c)
	}
	return string(b)
}

// wantSame checks that two folds gave the same commands.
func wantSame(tb testing.TB, what string, got, want [][]workflow.Command) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Errorf("%s: commands of %d events, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if reflect.DeepEqual(got[i], want[i]) {
			continue
		}
		for j := range max(len(got[i]), len(want[i])) {
			g, w := "nothing", "nothing"
			if j < len(got[i]) {
				g = text(got[i][j])
			}
			if j < len(want[i]) {
				w = text(want[i][j])
			}
			if g != w {
				tb.Errorf("%s: event %d, command %d:\n got %s\nwant %s", what, i+1, j+1, g, w)
				return
			}
		}
	}
}

var foldClauses = []clause{
	{Name: "fold/deterministic", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			p, r := h.play(tb, c)
			var first []byte
			for n := range 5 {
				s, commands, err := fold(p, nil, r.Events)
				if err != nil {
					tb.Errorf("%s: the same log again: %v", c.Name, err)
					break
				}
				wantSame(tb, c.Name+", the same log again", commands, r.Commands)
				if !h.NoSnapshots {
					b, err := p.Snapshot(s)
					if err != nil {
						tb.Errorf("%s: Snapshot: %v", c.Name, err)
					}
					if n == 0 {
						first = b
					} else if !bytes.Equal(b, first) {
						tb.Errorf("%s: the same log gives two snapshots:\n%q\n%q", c.Name, first, b)
					}
				}
				release(p, s)
			}
		}
	}},
	{Name: "fold/ends", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			if _, r := h.play(tb, c); r.End == nil {
				tb.Errorf("%s: after %d events nothing is open and the execution has not ended", c.Name, len(r.Events))
			}
		}
	}},
	{Name: "fold/first-event", Check: func(tb testing.TB, h Harness) {
		p := h.compile(tb, h.Cases[0])
		s, _, err := p.Step(nil, &workflow.Event{Seq: 1, Time: Epoch(), Kind: workflow.StepSucceeded, Step: "a", Node: "a"})
		wantClass(tb, err, faas.ErrConflict, "a log that begins with an outcome")
		release(p, s)
	}},
	{Name: "fold/continued", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			p, r := h.play(tb, c)
			e := r.Events[0]
			e.Kind = workflow.ExecutionContinued
			s, commands, err := p.Step(nil, &e)
			if err != nil {
				tb.Errorf("%s: a log that begins as a continuation: %v", c.Name, err)
				continue
			}
			wantSame(tb, c.Name+", as a continuation", [][]workflow.Command{commands}, r.Commands[:1])
			release(p, s)
		}
	}},
	{Name: "fold/irrelevant-events", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			checkIrrelevant(tb, h, c)
		}
	}},
	{Name: "fold/foreign-outcome", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			p, r := h.play(tb, c)
			for at := range points(len(r.Events)) {
				for _, kind := range []workflow.EventKind{workflow.StepSucceeded, workflow.StepFailed} {
					s, _, err := fold(p, nil, r.Events[:at])
					if err != nil {
						tb.Fatalf("%s: %v", c.Name, err)
					}
					e := workflow.Event{Seq: uint64(at + 1), Time: r.Events[at-1].Time, Kind: kind, Step: "no-such-step-of-the-kit", Node: "no-such-step-of-the-kit", Failure: &workflow.Failure{Name: "x"}}
					s, _, err = p.Step(s, &e)
					wantClass(tb, err, faas.ErrConflict, fmt.Sprintf("%s: after event %d, %s of a step that was never opened", c.Name, at, kind))
					release(p, s)
				}
			}
		}
	}},
	{Name: "fold/outcome-twice", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			p, r := h.play(tb, c)
			for at := range points(len(r.Events)) {
				e := r.Events[at-1]
				if e.Kind != workflow.StepSucceeded || slices.ContainsFunc(r.Commands[at-1], func(c workflow.Command) bool { return c.Step == e.Step || c.Kind.Ends() }) {
					continue
				}
				s, _, err := fold(p, nil, r.Events[:at])
				if err != nil {
					tb.Fatalf("%s: %v", c.Name, err)
				}
				e.Seq++
				s, _, err = p.Step(s, &e)
				wantClass(tb, err, faas.ErrConflict, fmt.Sprintf("%s: a second outcome of %q", c.Name, e.Step))
				release(p, s)
			}
		}
	}},
	{Name: "fold/cancel", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			_, whole := h.play(tb, c)
			for at := range points(len(whole.Events)) {
				if at > len(whole.Events)-1-len(c.Signals) {
					continue
				}
				c := c
				c.CancelAt = at
				if _, r := h.play(tb, c); r.End == nil {
					tb.Errorf("%s: cancelled after %d outcomes it does not end", c.Name, at)
				}
			}
		}
	}},
	{Name: "fold/payload-unavailable", Check: func(tb testing.TB, h Harness) {
		for _, c := range h.Cases {
			checkUnavailable(tb, h, c)
		}
	}},
}

// points are the numbers from 1 to n at which a log, or a snapshot, of that length is looked at: all of a
// short one, some of a long one.
func points(n int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		step := max(1, n/25)
		for at := 1; at <= n; at += step {
			if !yield(at) {
				return
			}
		}
	}
}

func checkIrrelevant(tb testing.TB, h Harness, c Case) {
	p, r := h.play(tb, c)
	var s workflow.State
	open := ""
	for i := range r.Events {
		e := r.Events[i]
		var commands []workflow.Command
		var err error
		if s, commands, err = p.Step(s, &e); err != nil {
			tb.Errorf("%s: after irrelevant events, event %d: %v", c.Name, e.Seq, err)
			return
		}
		wantSame(tb, c.Name+", with irrelevant events between", [][]workflow.Command{commands}, r.Commands[i:i+1])
		for _, c := range commands {
			if c.Kind.Opens() {
				open = c.Step
			}
			if c.Kind.Ends() {
				release(p, s)
				return
			}
		}
		for _, other := range []workflow.Event{
			{Kind: workflow.StepRetrying, Step: open, Node: open, Attempt: 1, Failure: &workflow.Failure{Name: "x"}, Due: e.Time},
			{Kind: workflow.SignalReceived, Name: "no-such-signal-of-the-kit", Payload: workflow.JSON(`1`)},
			{Kind: workflow.ExecutionSuspended}, {Kind: workflow.ExecutionResumed}, {Kind: workflow.ExecutionRecovered},
			{Kind: workflow.ExecutionRedriven}, {Kind: 200},
		} {
			other.Seq, other.Time = e.Seq, e.Time
			if s, commands, err = p.Step(s, &other); err != nil || len(commands) > 0 {
				tb.Errorf("%s: after event %d, %s: %d commands, %v; want none", c.Name, e.Seq, other.Kind, len(commands), err)
				return
			}
		}
	}
	release(p, s)
}

// source is a store of one payload that does not answer for a while.
type source struct {
	data []byte
	down bool
}

func (s *source) Payload(context.Context, faas.Digest) ([]byte, error) {
	if s.down {
		return nil, faas.Errorf("workflow execution storage", "read payload", "", faas.ErrUnavailable, "the kit says no")
	}
	return s.data, nil
}

func checkUnavailable(tb testing.TB, h Harness, c Case) {
	data, ok := c.Input.InHand()
	if !ok || len(data) == 0 {
		return
	}
	p, r := h.play(tb, c)
	store := &source{data: data}
	first := r.Events[0]
	first.Payload = workflow.Reference(c.Input.MediaType(), "sha256:kit", int64(len(data)), store)
	store.down = true
	s, commands, err := p.Step(nil, &first)
	switch {
	case err != nil && !errors.Is(err, faas.ErrUnavailable):
		tb.Errorf("%s: the input cannot be read: %v: want the store's own error", c.Name, err)
	case err == nil && slices.ContainsFunc(commands, func(c workflow.Command) bool { return c.Kind.Ends() && c.Kind == workflow.CommandFail }):
		tb.Errorf("%s: the input cannot be read, and the execution fails; want the store's error", c.Name)
	}
	release(p, s)
	store.down = false
	s, commands, err = p.Step(nil, &first)
	if err != nil {
		tb.Errorf("%s: the input can be read again: %v", c.Name, err)
		return
	}
	if len(commands) != len(r.Commands[0]) {
		tb.Errorf("%s: with its input by reference it gives %d commands, want %d", c.Name, len(commands), len(r.Commands[0]))
	}
	release(p, s)
}
