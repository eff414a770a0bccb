package buildertest

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
)

// checkValidate: a good source passes, a bad one is told all its faults.
func checkValidate(tb testing.TB, h Harness) {
	b := h.New(tb)
	for name, src := range map[string]fs.FS{"Good": h.Good, "Broken": h.Broken} {
		if err := b.Validate(tb.Context(), src); err != nil {
			tb.Errorf("Validate(%s): %v", name, err)
		}
	}
	err := b.Validate(tb.Context(), h.Invalid)
	if !errors.Is(err, faas.ErrInvalidArgument) {
		tb.Fatalf("Validate(Invalid) = %v, want ErrInvalidArgument", err)
	}
	for _, fault := range h.Faults {
		if !strings.Contains(err.Error(), fault) {
			tb.Errorf("Validate(Invalid) does not report %q at once with the others: %v", fault, err)
		}
	}
	if err := b.Validate(tb.Context(), fstest.MapFS{}); !errors.Is(err, faas.ErrInvalidArgument) {
		tb.Errorf("Validate of an empty source = %v, want ErrInvalidArgument", err)
	}
}

// checkBuilds: a good source becomes a function that starts and answers, and nothing else goes on.
func checkBuilds(tb testing.TB, h Harness) {
	w, a := mustBuild(tb, h.New(tb), h.Good)
	if left := processes(w.root); len(left) > 0 {
		tb.Errorf("the build has left processes: %v", left)
	}
	spec := faas.Spec{Contract: a.Contract, Command: a.Command, Env: a.Env}
	if err := spec.Validate(); err != nil {
		tb.Fatalf("the artifact is no valid configuration: %v", err)
	}
	answer, err := h.Start(tb, w.Output, a)(tb.Context(), h.Request)
	if err != nil || answer != h.Answer {
		tb.Errorf("the function answers %q, %v; want %q", answer, err, h.Answer)
	}
}

// checkReproducible: equal source and fingerprint mean an equal artifact, wherever it is built.
func checkReproducible(tb testing.TB, h Harness) {
	first, a := mustBuild(tb, h.New(tb), h.Good)
	again, c := mustBuild(tb, h.New(tb), h.Good)
	if x, y := digest(tb, first.Output), digest(tb, again.Output); x != y {
		tb.Errorf("two builds of the same source differ: %s, %s", x, y)
	}
	if a.Contract != c.Contract || strings.Join(a.Command, "\x00") != strings.Join(c.Command, "\x00") {
		tb.Errorf("two builds of the same source run differently: %+v, %+v", a, c)
	}
}

// checkFingerprint: the same for the same builder, another one with other options.
func checkFingerprint(tb testing.TB, h Harness) {
	get := func(b builder.Builder) string {
		f, err := b.Fingerprint(tb.Context())
		if err != nil || f == "" {
			tb.Fatalf("Fingerprint() = %q, %v", f, err)
		}
		return f
	}
	b := h.New(tb)
	before := get(b)
	mustBuild(tb, b, h.Good)
	if after := get(b); after != before {
		tb.Errorf("a build changes the fingerprint from %q to %q", before, after)
	}
	if other := get(h.New(tb)); other != before {
		tb.Errorf("two equal builders have the fingerprints %q and %q", before, other)
	}
	if other := get(h.Other(tb)); other == before {
		tb.Errorf("a builder with other options has the same fingerprint %q", other)
	}
}

// checkBroken: what the tool says about a source that does not build is in the error.
func checkBroken(tb testing.TB, h Harness) {
	w := newWorkplace(tb, h.Broken)
	_, err := w.run(tb.Context(), h.New(tb))
	if !errors.Is(err, faas.ErrInvalidArgument) {
		tb.Fatalf("a broken source: %v, want ErrInvalidArgument", err)
	}
	if !strings.Contains(err.Error(), h.BrokenText) {
		tb.Errorf("the error does not say %q: %v", h.BrokenText, err)
	}
	if len(err.Error()) > 64<<10 {
		tb.Errorf("the error has %d bytes; its text must be bounded", len(err.Error()))
	}
}

// checkMissing: a dependency that cannot be had is named before anything is built.
func checkMissing(tb testing.TB, h Harness) {
	b := h.New(tb)
	w := newWorkplace(tb, h.Missing)
	err := b.Validate(tb.Context(), h.Missing)
	if err == nil {
		err = b.Resolve(tb.Context(), w.Job)
	}
	if !errors.Is(err, faas.ErrInvalidArgument) {
		tb.Fatalf("a missing dependency: %v, want ErrInvalidArgument from Validate or Resolve", err)
	}
	if !strings.Contains(err.Error(), h.MissingText) {
		tb.Errorf("the error does not say %q: %v", h.MissingText, err)
	}
}

// checkConcurrent: builds at the same time do not disturb each other.
func checkConcurrent(tb testing.TB, h Harness) {
	const n = 3
	b := h.New(tb)
	var wg sync.WaitGroup
	works := make([]workplace, n)
	artifacts := make([]builder.Artifact, n)
	errs := make([]error, n)
	for i := range works {
		works[i] = newWorkplace(tb, h.Good)
	}
	broken := newWorkplace(tb, h.Broken)
	var brokenErr error
	wg.Go(func() { _, brokenErr = broken.run(tb.Context(), b) })
	for i := range works {
		wg.Go(func() { artifacts[i], errs[i] = works[i].run(tb.Context(), b) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		tb.Fatalf("builds at the same time: %v", err)
	}
	if !errors.Is(brokenErr, faas.ErrInvalidArgument) {
		tb.Errorf("a broken source beside good ones: %v, want ErrInvalidArgument", brokenErr)
	}
	first := digest(tb, works[0].Output)
	for i := range works {
		if d := digest(tb, works[i].Output); d != first {
			tb.Errorf("builds at the same time differ: %s, %s", first, d)
		}
	}
	answer, err := h.Start(tb, works[n-1].Output, artifacts[n-1])(tb.Context(), h.Request)
	if err != nil || answer != h.Answer {
		tb.Errorf("the function answers %q, %v; want %q", answer, err, h.Answer)
	}
}
