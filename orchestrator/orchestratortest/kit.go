package orchestratortest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// patience bounds every wait for something that must happen. It is generous because
// passing never takes it.
const patience = 30 * time.Second

// clause is one promise and its check.
type clause[H any] struct {
	name  string
	check func(tb testing.TB, h H)
}

// runClauses runs each clause as a subtest, in a bubble of testing/synctest if asked to.
func runClauses[H any](t *testing.T, h H, bubble bool, skip map[string]string, clauses []clause[H]) {
	t.Helper()
	known := make(map[string]bool)
	for _, c := range clauses {
		known[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			if reason, ok := skip[c.name]; ok {
				t.Skip(reason)
			}
			if bubble {
				synctest.Test(t, func(t *testing.T) { c.check(t, h) })
			} else {
				c.check(t, h)
			}
		})
	}
	for name := range skip {
		if !known[name] {
			t.Errorf("Harness.Skip names %q, which is no subtest of this kit", name)
		}
	}
}

// ok ends the check unless err is nil.
func ok(tb testing.TB, err error, doing string) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("%s: %v", doing, err)
	}
}

// wantClass fails the check unless err belongs to the class.
func wantClass(tb testing.TB, err, class error, doing string) {
	tb.Helper()
	if !errors.Is(err, class) {
		tb.Errorf("%s: the error is %v, want one of class %q", doing, err, class)
	}
}
