// Package recordtb stands in for a testing.TB, so that a conformance kit can be
// tested: a clause runs against a deliberately broken double, and the recorder
// says whether the clause noticed.
//
//	r := recordtb.Run(t, func(tb testing.TB) { checkAliases(tb, brokenHarness) })
//	if !r.Failed() {
//		t.Error("the kit passes a registry that forgets aliases")
//	}
//
// [WantNoticed] does so for all clauses of a kit and the doubles that break each.
//
// A clause that waits before it gives up costs no real time when the double lives in
// memory and Run is called inside a testing/synctest bubble.
package recordtb

import (
	"context"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
)

// Recorder is what a clause was given as its testing.TB, and what became of it.
// Failures, skips, logs and cleanups stay with it; the rest, such as TempDir, is the real
// test's. Safe for concurrent use.
type Recorder struct {
	testing.TB // of the real test; also carries TB's private method

	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	failed   bool
	skipped  bool
	log      strings.Builder
	cleanups []func()
}

// Run calls check with a recorder, in a goroutine of its own because FailNow and SkipNow
// end the goroutine that calls them, then ends the recorder's Context and runs the
// cleanups, the last registered first. A panic counts as a failure.
func Run(tb testing.TB, check func(testing.TB)) *Recorder {
	r := &Recorder{TB: tb}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(tb.Context()))
	r.protect(func() { check(r) })
	r.cancel()
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return r
		}
		f := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		r.protect(f)
	}
}

func (r *Recorder) protect(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		f()
	}()
	<-done
}

// Recorded returns everything that was logged, one entry a line.
func (r *Recorder) Recorded() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func (r *Recorder) record(failed bool, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.failed || failed
	r.log.WriteString(strings.TrimSuffix(text, "\n") + "\n")
}

// Failed reports whether the check failed or panicked.
func (r *Recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// Skipped reports whether the check skipped itself.
func (r *Recorder) Skipped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.skipped
}
