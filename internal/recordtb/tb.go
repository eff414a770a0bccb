package recordtb

import (
	"context"
	"fmt"
	"runtime"
)

// The methods of testing.TB that must not reach the real test.

// Cleanup registers f to run at the end of Run.
func (r *Recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

// Context ends just before the cleanups run.
func (r *Recorder) Context() context.Context { return r.ctx }

// Helper does nothing.
func (r *Recorder) Helper() {}

// Error records a failure.
func (r *Recorder) Error(args ...any) { r.record(true, fmt.Sprintln(args...)) }

// Errorf records a failure.
func (r *Recorder) Errorf(format string, args ...any) { r.record(true, fmt.Sprintf(format, args...)) }

// Fail records a failure.
func (r *Recorder) Fail() { r.record(true, "fail") }

// FailNow records a failure and ends the goroutine.
func (r *Recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

// Fatal records a failure and ends the goroutine.
func (r *Recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

// Fatalf records a failure and ends the goroutine.
func (r *Recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// Log records the text.
func (r *Recorder) Log(args ...any) { r.record(false, fmt.Sprintln(args...)) }

// Logf records the text.
func (r *Recorder) Logf(format string, args ...any) { r.record(false, fmt.Sprintf(format, args...)) }

// Skip records the text and ends the goroutine.
func (r *Recorder) Skip(args ...any) {
	r.Log(args...)
	r.SkipNow()
}

// Skipf records the text and ends the goroutine.
func (r *Recorder) Skipf(format string, args ...any) {
	r.Logf(format, args...)
	r.SkipNow()
}

// SkipNow records the skip and ends the goroutine.
func (r *Recorder) SkipNow() {
	r.mu.Lock()
	r.skipped = true
	r.mu.Unlock()
	runtime.Goexit()
}
