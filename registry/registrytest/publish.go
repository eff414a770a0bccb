package registrytest

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
)

var publishClauses = []clause{
	{Name: "publish/numbers-versions-from-1", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for i, want := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"} {
			wantNumber(tb, "publish", publish(tb, r, "a", i), want)
		}
	}},
	{Name: "publish/functions-are-independent", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for _, name := range []string{"a", "b", "one/a", "two/a"} {
			fn := publish(tb, r, name, 1)
			wantNumber(tb, "the first of "+name, fn, "1")
			want := kit.Ref(tb, name)
			want.Version = "1"
			if fn.Ref != want {
				tb.Errorf("Publish(%s) made %v, want %v", name, fn.Ref, want)
			}
		}
		publish(tb, r, "one/a", 2)
		wantNumber(tb, "default/a", get(tb, r, "a"), "1")
		wantNumber(tb, "two/a", get(tb, r, "two/a"), "1")
		wantNumber(tb, "one/a", get(tb, r, "one/a"), "2")
	}},
	{Name: "publish/empty-namespace-is-the-default", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		fn, err := r.Publish(tb.Context(), faas.Ref{Name: "a"}, sampleSpec(1), nil)
		if err != nil {
			tb.Fatalf("Publish: %v", err)
		}
		wantSame(tb, "by its full name", get(tb, r, "default/a@1"), fn)
		got, err := r.Get(tb.Context(), faas.Ref{Name: "a", Version: "1"})
		if err != nil {
			tb.Fatalf("Get without a namespace: %v", err)
		}
		wantSame(tb, "without a namespace", got, fn)
	}},
	{Name: "publish/keeps-the-record", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		before := time.Now()
		fn := publish(tb, r, "a", 1)
		want := fn
		want.Spec = sampleSpec(1)
		wantSame(tb, "what Publish returns", fn, want)
		wantSame(tb, "what Get returns", get(tb, r, "a"), want)
		if fn.Created.Before(before.Add(-time.Second)) || fn.Created.After(time.Now().Add(time.Second)) {
			tb.Errorf("created at %v, published at %v", fn.Created, before)
		}
		minimal, err := r.Publish(tb.Context(), kit.Ref(tb, "b"), faas.Spec{Contract: "handler", Command: []string{"x"}}, nil)
		if err != nil {
			tb.Fatalf("Publish of the least spec: %v", err)
		}
		wantSame(tb, "the least spec", get(tb, r, "b"), minimal)
	}},
	{Name: "publish/revisions-grow", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		last := revision(tb, r)
		for i := range 5 {
			fn := publish(tb, r, "a", i)
			if fn.Revision <= last {
				tb.Errorf("revision %d after %d", fn.Revision, last)
			}
			if now := revision(tb, r); now != fn.Revision {
				tb.Errorf("the registry is at %d after the change of revision %d", now, fn.Revision)
			}
			last = fn.Revision
		}
	}},
	{Name: "publish/copies-the-spec", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		spec := sampleSpec(1)
		if _, err := r.Publish(tb.Context(), kit.Ref(tb, "a"), spec, nil); err != nil {
			tb.Fatalf("Publish: %v", err)
		}
		want := get(tb, r, "a@1")
		want.Spec = sampleSpec(1)
		spec.Command[0] = "changed"
		spec.Constraints[0].Field = "changed"
		maps.DeleteFunc(spec.Env, func(string, string) bool { return true })
		spec.Labels["team"] = "changed"
		wantSame(tb, "after the caller's spec changed", get(tb, r, "a@1"), want)
	}},
	{Name: "publish/versions-never-change", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		var all []faas.Function
		for i := range 5 {
			all = append(all, publish(tb, r, "a", i))
		}
		setAlias(tb, r, "a@live", "2")
		setAlias(tb, r, "a@live", "4")
		remove(tb, r, "a@3")
		for _, want := range slices.Delete(all, 2, 3) {
			wantSame(tb, "after later changes", get(tb, r, want.Ref.String()), want)
		}
	}},
	{Name: "publish/reports-every-fault", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		spec := sampleSpec(1)
		spec.Timeout = -1
		spec.Command, spec.Image = []string{""}, "Upper"
		_, err := r.Publish(tb.Context(), faas.Ref{Name: "Upper"}, spec, nil)
		kit.WantClass(tb, err, faas.ErrInvalidArgument, "Publish of four faults")
		for _, field := range []string{"name", "command", "image", "timeout"} {
			if !namesField(err, field) {
				tb.Errorf("%v: does not name the fault in %s", err, field)
			}
		}
		_, err = r.Publish(tb.Context(), kit.Ref(tb, "a@1"), sampleSpec(1), nil)
		kit.WantClass(tb, err, faas.ErrInvalidArgument, "Publish with a version")
		if now := revision(tb, r); now != 0 {
			tb.Errorf("refused calls made revision %d", now)
		}
	}},
}

// namesField reports whether some *faas.Error in the tree of err has the field as its key.
func namesField(err error, field string) bool {
	switch e := err.(type) {
	case nil:
		return false
	case *faas.Error:
		if e.Key == field {
			return true
		}
		return namesField(e.Err, field)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(err error) bool { return namesField(err, field) })
	}
	return namesField(errors.Unwrap(err), field)
}
