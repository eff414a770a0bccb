// Package storetest is the conformance kit of the workflow execution storage (W4): one named subtest for
// each promise of [workflow.Store]. Every implementation, ours or anyone's, runs it:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			Open: func(tb testing.TB) workflow.Store { return memstore.New(nil) },
//		})
//	}
//
// It needs nothing but the standard library and the contract. The kit closes what it
// opened. Subtest names are part of its interface: they are the keys of Harness.Skip.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/workflow"
)

// Harness makes the stores that Run tests.
type Harness struct {
	// Open returns a new and empty store. Required.
	Open func(tb testing.TB) workflow.Store
	// Reopen closes a store and opens its stored state again. Nil: the store is not durable, and the
	// durability clauses are skipped.
	Reopen func(tb testing.TB, s workflow.Store) workflow.Store
	// Fail makes the next write of a store, and that one alone, fail on its way to the disk, as a failed
	// fsync does. Nil: the clauses of poisoning are skipped.
	Fail func(tb testing.TB, s workflow.Store)
	// Corrupt closes a store, damages what lies on disk of the events of one execution, and of it alone,
	// and opens the store again. Nil: the clauses of corruption are skipped.
	Corrupt func(tb testing.TB, s workflow.Store, ref workflow.ExecutionRef) workflow.Store
	// Skip names subtests that the implementation does not pass, each with the reason.
	Skip map[string]string
}

// patience bounds every wait for something that must happen. It is generous because
// passing never takes it.
const patience = 30 * time.Second

type clause = kit.Clause[Harness]

func clauses() []clause {
	return slices.Concat(
		appendClauses, refusalClauses, readClauses, payloadClauses, recordClauses, listClauses, deleteClauses,
		recoverClauses, trimClauses, manyClauses, lifecycleClauses, durabilityClauses, faultClauses,
	)
}

// Run tests every promise of a workflow.Store.
func Run(t *testing.T, h Harness) {
	if h.Open == nil {
		t.Fatal("storetest: Harness.Open is required")
	}
	kit.Run(t, clauses(), h.Skip, func(testing.TB) Harness { return h })
}

func (h Harness) open(tb testing.TB) workflow.Store {
	tb.Helper()
	return kit.Closing(tb, h.Open(tb))
}

// epoch is when the executions of the kit start.
var epoch = time.Date(2026, 11, 1, 12, 0, 0, 123456789, time.UTC)

func ref(id string) workflow.ExecutionRef {
	return workflow.ExecutionRef{Namespace: faas.DefaultNamespace, ID: id, Run: 1}
}

// record is that of an execution that started n seconds after the epoch.
func record(x workflow.ExecutionRef, n int, status workflow.Status) *workflow.Execution {
	r := &workflow.Execution{
		Ref: x, Workflow: faas.Ref{Namespace: x.Namespace, Name: "report", Version: "3"}, Language: "dag",
		Status: status, Started: epoch.Add(time.Duration(n) * time.Second), Logs: 1,
		Attributes: map[string]string{"n": fmt.Sprint(n)}, Note: "note " + fmt.Sprint(n),
	}
	if !status.Open() {
		r.Closed = r.Started.Add(time.Hour)
		r.Keep = r.Closed.Add(time.Hour)
	}
	return r
}

// events are n of them from Seq from on; the first of a log opens it.
func events(from uint64, n int) (es []workflow.Event) {
	for i := range uint64(n) {
		seq := from + i
		e := workflow.Event{Seq: seq, Time: epoch.Add(time.Duration(seq) * time.Millisecond), Kind: workflow.StepSucceeded, Step: fmt.Sprint("step-", seq), Payload: workflow.JSON(fmt.Sprint(seq))}
		if seq == 1 {
			e.Kind, e.Step = workflow.ExecutionStarted, ""
			e.Start = &workflow.Start{Seed: 7, Definition: workflow.Definition{Ref: faas.Ref{Name: "report"}, Language: "dag", Source: "tasks: {}"}}
		}
		es = append(es, e)
	}
	return es
}

// start creates an execution with n events.
func start(tb testing.TB, s workflow.Store, x workflow.ExecutionRef, n int) {
	tb.Helper()
	put(tb, s, &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: events(1, n)})
}

// finish closes an execution whose log ends at after.
func finish(tb testing.TB, s workflow.Store, x workflow.ExecutionRef, after uint64) {
	tb.Helper()
	put(tb, s, &workflow.Batch{Execution: x, After: after, Record: record(x, 0, workflow.StatusSucceeded), Events: events(after+1, 1)})
}

// put appends a batch, which must work.
func put(tb testing.TB, s workflow.Store, b *workflow.Batch) {
	tb.Helper()
	if err := s.Append(tb.Context(), b); err != nil {
		tb.Fatalf("Append to %s after %d: %v", b.Execution, b.After, err)
	}
}

func read(tb testing.TB, s workflow.Store, x workflow.ExecutionRef, from uint64, limit int) []workflow.Event {
	tb.Helper()
	es, err := s.Read(tb.Context(), x, from, limit)
	if err != nil {
		tb.Fatalf("Read(%s, %d, %d): %v", x, from, limit, err)
	}
	return es
}

func get(tb testing.TB, s workflow.Store, x workflow.ExecutionRef) workflow.Execution {
	tb.Helper()
	r, err := s.Get(tb.Context(), x)
	if err != nil {
		tb.Fatalf("Get(%s): %v", x, err)
	}
	return r
}

// recovered gathers what Recover yields, which must be without errors.
func recovered(tb testing.TB, s workflow.Store) map[workflow.ExecutionRef]*workflow.Recovered {
	tb.Helper()
	all := make(map[workflow.ExecutionRef]*workflow.Recovered)
	for r, err := range s.Recover(tb.Context()) {
		if err != nil {
			tb.Fatalf("Recover: %v", err)
		}
		if all[r.Record.Ref] != nil {
			tb.Errorf("Recover yields %s twice", r.Record.Ref)
		}
		all[r.Record.Ref] = r
	}
	return all
}

// digest is that of the bytes.
func digest(data []byte) faas.Digest {
	sum := sha256.Sum256(data)
	return faas.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// large is a payload held by reference, and its bytes.
func large(text string) (p workflow.Payload, d faas.Digest, data []byte) {
	data = []byte(text)
	d = digest(data)
	return workflow.Reference("text/plain", d, int64(len(data)), nil), d, data
}

// wantClass checks that err is an *faas.Error of the class.
func wantClass(tb testing.TB, err error, class error, format string, args ...any) {
	tb.Helper()
	what := fmt.Sprintf(format, args...)
	var e *faas.Error
	switch {
	case err == nil:
		tb.Errorf("%s: no error, want %q", what, class)
	case faas.Class(err) != class:
		tb.Errorf("%s: %v: is of the class %q, want %q", what, err, faas.Class(err), class)
	case !errors.As(err, &e):
		tb.Errorf("%s: %v: is a %T, not an *faas.Error", what, err, err)
	}
}

// wantSeqs checks the numbers of events: first to last, without a gap.
func wantSeqs(tb testing.TB, what string, es []workflow.Event, first, last uint64) {
	tb.Helper()
	var got []uint64
	for _, e := range es {
		got = append(got, e.Seq)
	}
	var want []uint64
	for seq := first; seq <= last; seq++ {
		want = append(want, seq)
	}
	if !reflect.DeepEqual(got, want) {
		tb.Errorf("%s: events %v, want %v", what, got, want)
	}
}

// wantEvents checks events field by field; that payloads held by reference are bound is another clause's.
func wantEvents(tb testing.TB, what string, got, want []workflow.Event) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Errorf("%s: %d events, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if g, w := describe(&got[i]), describe(&want[i]); g != w {
			tb.Errorf("%s: event %d:\n got %s\nwant %s", what, i, g, w)
		}
	}
}

// describe is everything that an event says, with its payloads' bytes.
func describe(e *workflow.Event) string {
	plain := *e
	plain.Payload, plain.Failure = workflow.Payload{}, nil
	text, err := json.Marshal(&plain)
	if err != nil {
		panic(err) // an event always marshals
	}
	return string(text) + " " + describePayload(e.Payload) + describeFailure(e.Failure)
}

func describeFailure(f *workflow.Failure) (text string) {
	if f != nil {
		text = fmt.Sprintf(" failure %q %q %d %s", f.Name, f.Cause, f.Status, describePayload(f.Details))
	}
	return text
}

// describeRecord is everything that a record says, with its payloads' bytes.
func describeRecord(x workflow.Execution) string {
	output, failure := x.Output, x.Failure
	x.Output, x.Failure = workflow.Payload{}, nil
	text, err := json.Marshal(&x)
	if err != nil {
		panic(err) // a record always marshals
	}
	return string(text) + " " + describePayload(output) + describeFailure(failure)
}

func wantRecord(tb testing.TB, what string, got, want workflow.Execution) {
	tb.Helper()
	if g, w := describeRecord(got), describeRecord(want); g != w {
		tb.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

func describePayload(p workflow.Payload) string {
	if d, ok := p.Digest(); ok {
		return fmt.Sprintf("%s %s %d", p.MediaType(), d, p.Size())
	}
	data, _ := p.InHand()
	return fmt.Sprintf("%s %q %t", p.MediaType(), data, p.IsZero())
}

// within returns a context that ends when a wait has taken too long.
func within(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}
