// Package buildertest is the conformance kit of builder.Builder (F2 of the SPEC-RG
// reference architecture): every implementation, ours or a third party's, runs it.
//
//	func TestConformance(t *testing.T) {
//		buildertest.Run(t, buildertest.Harness{
//			New:   func(tb testing.TB) builder.Builder { ... },
//			Good:  os.DirFS("testdata/good"), Request: "a", Answer: "A",
//			Start: func(tb testing.TB, dir string, a builder.Artifact) buildertest.Call { ... },
//			...
//		})
//	}
//
// It builds for real: a run takes about ten builds of Good. It needs the standard library
// alone. The clause about processes looks into /proc and holds on Linux only; elsewhere it
// checks the errors.
package buildertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/internal/archive"
)

// Harness is what the kit needs of an implementation. All fields are required.
type Harness struct {
	// New returns a builder. Called once by each clause and twice by some.
	New func(tb testing.TB) builder.Builder
	// Other returns a builder with options that change what it builds.
	Other func(tb testing.TB) builder.Builder
	// Good is a source that builds.
	Good fs.FS
	// Start runs what Good was built to, and returns how to call it. It is stopped by tb.Cleanup.
	Start func(tb testing.TB, dir string, a builder.Artifact) Call
	// Request and Answer are one call of it.
	Request, Answer string
	// Invalid is a source with several faults that Validate sees; Faults are parts of their texts.
	Invalid fs.FS
	Faults  []string
	// Broken is a source that Validate accepts and the build's tool does not; BrokenText is
	// part of what the tool says about it.
	Broken     fs.FS
	BrokenText string
	// Missing is a source with a dependency that is nowhere to be had; MissingText is part of the
	// error, the name of the dependency for instance.
	Missing     fs.FS
	MissingText string
}

// Call calls a function.
type Call func(ctx context.Context, request string) (answer string, err error)

// clause is one promise of the contract.
type clause struct {
	name  string
	check func(tb testing.TB, h Harness)
}

var clauses = []clause{
	{"validate", checkValidate},
	{"builds and answers", checkBuilds},
	{"reproducible", checkReproducible},
	{"fingerprint", checkFingerprint},
	{"broken source", checkBroken},
	{"missing dependency", checkMissing},
	{"log", checkLog},
	{"cancel", checkCancel},
	{"cancelled before", checkCancelledBefore},
	{"private", checkPrivate},
	{"concurrent", checkConcurrent},
}

// Run checks every clause, each as a subtest of its name.
func Run(t *testing.T, h Harness) {
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) { c.check(t, h) })
	}
}

// Bench measures a whole build of Good ("build") and, from what was built, the time from starting an
// instance to its first answer ("first-answer"). A build cache that the builder has is warm.
func Bench(b *testing.B, h Harness) {
	made := h.New(b)
	w, a := mustBuild(b, made, h.Good)
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			mustBuild(b, made, h.Good)
		}
	})
	b.Run("first-answer", func(b *testing.B) {
		for b.Loop() {
			if answer, err := h.Start(b, w.Output, a)(b.Context(), h.Request); err != nil || answer != h.Answer {
				b.Fatalf("the function answers %q, %v; want %q", answer, err, h.Answer)
			}
		}
	})
}

// workplace is the private directory of one job.
type workplace struct {
	builder.Job
	root string
	log  *logBuffer
}

func newWorkplace(tb testing.TB, src fs.FS) workplace {
	tb.Helper()
	root, err := os.MkdirTemp(tb.TempDir(), "job-")
	if err != nil {
		tb.Fatal(err)
	}
	log := &logBuffer{}
	w := workplace{root: root, log: log, Job: builder.Job{
		Source: filepath.Join(root, "source"), Output: filepath.Join(root, "output"), Temp: filepath.Join(root, "temp"), Log: log,
	}}
	if err := errors.Join(os.Mkdir(w.Output, 0o755), os.Mkdir(w.Temp, 0o755)); err != nil {
		tb.Fatal(err)
	}
	if err := archive.CopyFS(context.Background(), src, w.Source, archive.Limits{}); err != nil {
		tb.Fatal(err)
	}
	return w
}

// run takes a workplace through all steps, as the pipeline does.
func (w *workplace) run(ctx context.Context, b builder.Builder) (builder.Artifact, error) {
	if err := b.Validate(ctx, os.DirFS(w.Source)); err != nil {
		return builder.Artifact{}, fmt.Errorf("validate: %w", err)
	}
	if err := b.Resolve(ctx, w.Job); err != nil {
		return builder.Artifact{}, fmt.Errorf("resolve: %w", err)
	}
	a, err := b.Build(ctx, w.Job)
	if err != nil {
		return a, fmt.Errorf("build: %w", err)
	}
	return a, nil
}

// mustBuild builds a source that builds.
func mustBuild(tb testing.TB, b builder.Builder, src fs.FS) (workplace, builder.Artifact) {
	tb.Helper()
	w := newWorkplace(tb, src)
	a, err := w.run(tb.Context(), b)
	if err != nil {
		tb.Fatalf("a good source does not build: %v\n%s", err, w.log)
	}
	return w, a
}

// digest names a directory's content, as the code store would.
func digest(tb testing.TB, dir string) string {
	tb.Helper()
	h := sha256.New()
	if err := archive.PackTar(context.Background(), h, dir); err != nil {
		tb.Fatalf("what was built cannot be packed: %v", err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// logBuffer is a log that knows when it is too late to write to it.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	over bool
	late int
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		l.late++
	}
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBuffer) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

func (l *logBuffer) writesAfterEnd() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.late
}
