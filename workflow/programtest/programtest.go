// Package programtest is the conformance kit of workflow.Language and workflow.Program:
// one named subtest for each promise. Every language, ours or anyone's, runs it:
//
//	func TestConformance(t *testing.T) {
//		programtest.Run(t, programtest.Harness{
//			Language: dag.Language(),
//			Cases:    []programtest.Case{{Name: "chain", Source: chain, Input: workflow.JSON(`1`)}},
//			Invalid:  []programtest.Invalid{{Name: "cycle", Source: cycle, Paths: []string{"tasks.a.needs"}}},
//			Grow:     func(n int) programtest.Case { return chainOf(n) },
//		})
//	}
//
// It needs nothing but the standard library and the contract. [Play] drives a Program by hand, without an engine
// and in virtual time, for tests of a language's own meaning. Subtest names are part of the
// kit's interface: they are the keys of Harness.Skip.
package programtest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/workflow"
)

// Harness gives a language and definitions to test it with.
type Harness struct {
	// Language is the one to test. Required.
	Language workflow.Language
	// Cases are definitions with the outcomes of their steps. Together they should open every
	// kind of step that the language has. At least one is required.
	Cases []Case
	// Invalid are definitions that must not compile. Empty: the clauses about them are skipped.
	Invalid []Invalid
	// Grow returns a case whose log has at least n events. Nil: the clause about the cost of a step is skipped.
	Grow func(n int) Case
	// NoSnapshots: the language cannot encode states, and says so.
	NoSnapshots bool
	// NoGraph: the language's programs cannot be drawn.
	NoGraph bool
	// Skip names subtests that the implementation does not pass, each with the reason.
	Skip map[string]string
}

// Case is one definition and how its steps end.
type Case struct {
	// Name is for messages.
	Name string
	// Source is the definition's text.
	Source string
	// Input is the execution's.
	Input workflow.Payload
	// Attributes are the execution's.
	Attributes map[string]string
	// Answer gives the outcome of a call, activity or child; attempt counts from 1 how often the step was
	// opened. Nil: each step succeeds with its own input.
	Answer func(c workflow.Command, attempt int) Outcome
	// Signals are sent at the beginning, in order.
	Signals []Signal
	// CancelAt, when not 0, requests a cancellation after that many outcomes.
	CancelAt int
}

// Outcome is how a step ends.
type Outcome struct {
	Output  workflow.Payload
	Failure *workflow.Failure
}

// Signal is an external event.
type Signal struct {
	Name  string
	Value workflow.Payload
}

// Invalid is a definition with faults.
type Invalid struct {
	Name, Source string
	// Paths must each be the path of one of the faults.
	Paths []string
}

type clause = kit.Clause[Harness]

var clauses = slices.Concat(compileClauses, foldClauses, snapshotClauses, commandClauses, costClauses)

// Run tests every promise.
func Run(t *testing.T, h Harness) {
	if h.Language == nil || len(h.Cases) == 0 {
		t.Fatal("programtest: Harness.Language and Harness.Cases are required")
	}
	kit.Run(t, clauses, h.Skip, func(testing.TB) Harness { return h })
}

// Epoch is the time at which executions played by the kit start.
func Epoch() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func (h Harness) definition(source string) *workflow.Definition {
	return &workflow.Definition{Ref: faas.Ref{Namespace: "kit", Name: "case", Version: "7"}, Language: h.Language.Name(), Source: source}
}

// compile compiles a case, which must work.
func (h Harness) compile(tb testing.TB, c Case) workflow.Program {
	tb.Helper()
	p, err := h.Language.Compile(h.definition(c.Source))
	if err != nil {
		tb.Fatalf("%s: Compile: %v", c.Name, err)
	}
	return p
}

// play compiles and plays a case.
func (h Harness) play(tb testing.TB, c Case) (workflow.Program, *Record) {
	tb.Helper()
	p := h.compile(tb, c)
	return p, Play(tb, p, h.definition(c.Source), c)
}

// wantClass checks the class of an error.
func wantClass(tb testing.TB, err, class error, what string) {
	tb.Helper()
	if !errors.Is(err, class) {
		tb.Errorf("%s: %v: want the class %q", what, err, class)
	}
}

// release gives a state that is dropped back to a Program that wants it.
func release(p workflow.Program, s workflow.State) {
	if r, ok := p.(workflow.Releaser); ok && s != nil {
		r.Release(s)
	}
}
