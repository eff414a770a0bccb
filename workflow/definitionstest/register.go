package definitionstest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/workflow"
)

// refused checks that a definition is refused and nothing of it admitted.
func refused(tb testing.TB, r workflow.Registry, class error, what string, d workflow.Definition) error {
	tb.Helper()
	_, err := r.Register(tb.Context(), d)
	wantClass(tb, err, class, "Register of %s", what)
	page, listErr := r.List(tb.Context(), workflow.DefinitionQuery{AllVersions: true})
	if listErr != nil || len(page.Definitions) > 0 {
		tb.Errorf("after the refusal of %s %d definitions are listed, %v", what, len(page.Definitions), listErr)
	}
	return err
}

var registerClauses = []clause{
	{Name: "register/numbers-versions-from-1", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for i := 1; i <= 12; i++ {
			wantNumber(tb, "a", register(tb, r, "a", i), fmt.Sprint(i))
		}
	}},
	{Name: "register/workflows-are-independent", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for _, name := range []string{"a", "b", "ns/a", "a-1"} {
			wantNumber(tb, name, register(tb, r, name, 1), "1")
		}
		wantNumber(tb, "ns/a", register(tb, r, "ns/a", 2), "2")
		wantNumber(tb, "the latest of a", get(tb, r, "a"), "1")
	}},
	{Name: "register/returns-what-get-does", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		want := sample(tb, "a", 1)
		want.Ref.Namespace = ""
		want.Created = time.Unix(1, 0)
		d, err := r.Register(tb.Context(), want)
		if err != nil {
			tb.Fatalf("Register: %v", err)
		}
		if since := time.Since(d.Created); since > time.Hour || since < -time.Hour {
			tb.Errorf("created at %v, %v ago", d.Created, since)
		}
		want.Created = d.Created
		want.Ref = faas.Ref{Namespace: faas.DefaultNamespace, Name: "a", Version: "1"}
		wantSame(tb, "registered", d, want)
		wantSame(tb, "read", get(tb, r, "a@1"), want)
	}},
	{Name: "register/same-digest-is-the-same-version", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		first := register(tb, r, "a", 1)
		for range 2 {
			wantSame(tb, "again", register(tb, r, "a", 1), first)
		}
		wantNumber(tb, "another source", register(tb, r, "a", 2), "2")
		wantNumber(tb, "back to the first, which is not the latest", register(tb, r, "a", 1), "3")
		remove(tb, r, "a@3")
		wantNumber(tb, "what is the latest again", register(tb, r, "a", 2), "2")
	}},
	{Name: "register/settings-make-a-version", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		d := sample(tb, "a", 1)
		for i, change := range []func(){
			func() {}, func() { d.Timeout++ }, func() { d.Priority++ }, func() { d.Retention++ },
			func() { d.Durability = workflow.Standard }, func() { d.Source += " " },
		} {
			change()
			got, err := r.Register(tb.Context(), d)
			if err != nil {
				tb.Fatalf("Register: %v", err)
			}
			wantNumber(tb, fmt.Sprint("after change ", i), got, fmt.Sprint(i+1))
		}
	}},
	{Name: "register/compiles-before-it-admits", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		d := sample(tb, "a", 1)
		d.Source = "bad good bad"
		err := refused(tb, r, faas.ErrInvalidArgument, "a bad source", d)
		var faults workflow.Diagnostics
		if !errors.As(err, &faults) || len(faults) != 2 {
			tb.Errorf("the diagnostics do not come through: %v", err)
		}
		d.Source = "missing"
		refused(tb, r, faas.ErrNotFound, "a source that names missing code", d)
		d.Source, d.Language = "good", "latin"
		refused(tb, r, faas.ErrUnimplemented, "an unknown language", d)
		d.Language = "words"
		if got, err := r.Register(tb.Context(), d); err != nil || got.Ref.Version != "1" {
			tb.Errorf("after refusals: %v, %v, want version 1", got.Ref, err)
		}
	}},
	{Name: "register/bad-definition", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for what, spoil := range map[string]func(*workflow.Definition){
			"a version":          func(d *workflow.Definition) { d.Ref.Version = "1" },
			"no name":            func(d *workflow.Definition) { d.Ref.Name = "" },
			"a bad name":         func(d *workflow.Definition) { d.Ref.Name = "../a" },
			"a bad namespace":    func(d *workflow.Definition) { d.Ref.Namespace = ".." },
			"no language":        func(d *workflow.Definition) { d.Language = "" },
			"a bad durability":   func(d *workflow.Definition) { d.Durability = "most" },
			"a negative age":     func(d *workflow.Definition) { d.Retention = -1 },
			"a negative time":    func(d *workflow.Definition) { d.Timeout = -1 },
			"too large a source": func(d *workflow.Definition) { d.Source = strings.Repeat("x", workflow.MaxSource+1) },
		} {
			d := sample(tb, "a", 1)
			spoil(&d)
			refused(tb, r, faas.ErrInvalidArgument, what, d)
		}
	}},
	{Name: "register/largest-source", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		d := sample(tb, "a", 1)
		d.Source = strings.Repeat("x", workflow.MaxSource)
		if _, err := r.Register(tb.Context(), d); err != nil {
			tb.Fatalf("Register of %d bytes: %v", len(d.Source), err)
		}
		if got := get(tb, r, "a"); got.Source != d.Source {
			tb.Errorf("%d bytes came back as %d others", len(d.Source), len(got.Source))
		}
	}},
	{Name: "register/at-once-gives-different-numbers", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		const writers, each = 6, 5
		var got [writers][each]workflow.Definition
		kit.Together(writers, func(i int) {
			for n := range each {
				d, err := r.Register(tb.Context(), sample(tb, "a", i*each+n))
				if err != nil {
					tb.Errorf("Register: %v", err)
					return
				}
				if read, err := r.Get(tb.Context(), d.Ref); err != nil || read.Source != d.Source {
					tb.Errorf("Get(%v) after its Register returned: %.40q, %v", d.Ref, read.Source, err)
				}
				got[i][n] = d
			}
		})
		seen := map[string]bool{}
		for _, list := range got {
			for _, d := range list {
				if seen[d.Ref.Version] {
					tb.Errorf("version %s twice", d.Ref.Version)
				}
				seen[d.Ref.Version] = true
				wantSame(tb, "at the end", get(tb, r, d.Ref.String()), d)
			}
		}
		wantNumber(tb, "the latest", get(tb, r, "a"), fmt.Sprint(writers*each))
	}},
	{Name: "register/at-once-the-same-is-one-version", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		kit.Together(8, func(int) {
			if d, err := r.Register(tb.Context(), sample(tb, "a", 1)); err != nil || d.Ref.Version != "1" {
				tb.Errorf("Register: %v, %v, want version 1", d.Ref, err)
			}
		})
	}},
}
