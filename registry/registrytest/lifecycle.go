package registrytest

import (
	"context"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

// writes are the calls that change something, over a registry with a@1, a@2 and a@live.
func writes(ctx context.Context, tb testing.TB, r registry.Registry) map[string]error {
	_, perr := r.Publish(ctx, ref(tb, "a"), sampleSpec(1), nil)
	_, serr := r.SetAlias(ctx, registry.Alias{Ref: ref(tb, "a@next"), Target: "1"}, nil)
	return map[string]error{
		"Publish":     perr,
		"SetAlias":    serr,
		"DeleteAlias": r.DeleteAlias(ctx, ref(tb, "a@live")),
		"Delete":      r.Delete(ctx, ref(tb, "a@2"), nil),
	}
}

func twoAndLive(tb testing.TB, h Harness) registry.Registry {
	r := h.open(tb)
	publish(tb, r, "a", 1)
	publish(tb, r, "a", 2)
	setAlias(tb, r, "a@live", "1")
	return r
}

var lifecycleClauses = []clause[Harness]{
	{"lifecycle/ended-context-changes-nothing", func(tb testing.TB, h Harness) {
		r := twoAndLive(tb, h)
		before := revision(tb, r)
		canceled, cancel := context.WithCancel(tb.Context())
		cancel()
		late, stop := context.WithDeadline(tb.Context(), time.Now().Add(-time.Second))
		defer stop()
		for call, err := range writes(canceled, tb, r) {
			wantClass(tb, err, faas.ErrCanceled, "%s with a cancelled context", call)
		}
		for call, err := range writes(late, tb, r) {
			wantClass(tb, err, faas.ErrTimeout, "%s after the deadline", call)
		}
		if now := revision(tb, r); now != before {
			tb.Errorf("the calls took the registry from revision %d to %d", before, now)
		}
		wantNumber(tb, "the latest", get(tb, r, "a"), "2")
	}},
	{"lifecycle/closed", func(tb testing.TB, h Harness) {
		r := twoAndLive(tb, h)
		if err := r.Close(); err != nil {
			tb.Fatalf("Close: %v", err)
		}
		calls := writes(tb.Context(), tb, r)
		_, calls["Get"] = r.Get(tb.Context(), ref(tb, "a"))
		_, calls["Get of nothing"] = r.Get(tb.Context(), ref(tb, "unknown"))
		_, calls["List"] = r.List(tb.Context(), registry.Query{})
		_, calls["ListAliases"] = r.ListAliases(tb.Context(), ref(tb, "a"))
		calls["Watch"] = await(tb, "the end of a watch", ending(within(tb), r, 0, func(e registry.Event) {
			tb.Errorf("Watch after Close saw %+v", e)
		}))
		for call, err := range calls {
			wantClass(tb, err, faas.ErrClosed, "%s after Close", call)
		}
	}},
	{"lifecycle/close-twice", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for range 3 {
			if err := r.Close(); err != nil {
				tb.Errorf("Close: %v", err)
			}
		}
	}},
	{"lifecycle/close-under-load", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		together(5, func(i int) {
			if i == 0 {
				if err := r.Close(); err != nil {
					tb.Errorf("Close: %v", err)
				}
				return
			}
			for n := range 1_000_000 {
				_, err := r.Get(tb.Context(), ref(tb, "a"))
				if i == 1 {
					_, err = r.Publish(tb.Context(), ref(tb, "a"), sampleSpec(n), nil)
				}
				if err != nil {
					wantClass(tb, err, faas.ErrClosed, "a call during Close")
					return
				}
			}
			tb.Errorf("calls go on to work during Close")
		})
	}},
}
