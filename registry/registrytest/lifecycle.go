package registrytest

import (
	"context"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

// writes are the calls that change something, over a registry with a@1, a@2 and a@live.
func writes(ctx context.Context, tb testing.TB, r registry.Registry) map[string]error {
	_, perr := r.Publish(ctx, kit.Ref(tb, "a"), sampleSpec(1), nil)
	_, serr := r.SetAlias(ctx, registry.Alias{Ref: kit.Ref(tb, "a@next"), Target: "1"}, nil)
	return map[string]error{
		"Publish":     perr,
		"SetAlias":    serr,
		"DeleteAlias": r.DeleteAlias(ctx, kit.Ref(tb, "a@live")),
		"Delete":      r.Delete(ctx, kit.Ref(tb, "a@2"), nil),
	}
}

func twoAndLive(tb testing.TB, h Harness) registry.Registry {
	r := h.open(tb)
	publish(tb, r, "a", 1)
	publish(tb, r, "a", 2)
	setAlias(tb, r, "a@live", "1")
	return r
}

var lifecycleClauses = []clause{
	{Name: "lifecycle/ended-context-changes-nothing", Check: func(tb testing.TB, h Harness) {
		r := twoAndLive(tb, h)
		before := revision(tb, r)
		canceled, cancel := context.WithCancel(tb.Context())
		cancel()
		late, stop := context.WithDeadline(tb.Context(), time.Now().Add(-time.Second))
		defer stop()
		for call, err := range writes(canceled, tb, r) {
			kit.WantClass(tb, err, faas.ErrCanceled, "%s with a cancelled context", call)
		}
		for call, err := range writes(late, tb, r) {
			kit.WantClass(tb, err, faas.ErrTimeout, "%s after the deadline", call)
		}
		if now := revision(tb, r); now != before {
			tb.Errorf("the calls took the registry from revision %d to %d", before, now)
		}
		wantNumber(tb, "the latest", get(tb, r, "a"), "2")
	}},
	{Name: "lifecycle/closed", Check: func(tb testing.TB, h Harness) {
		r := twoAndLive(tb, h)
		if err := r.Close(); err != nil {
			tb.Fatalf("Close: %v", err)
		}
		calls := writes(tb.Context(), tb, r)
		_, calls["Get"] = r.Get(tb.Context(), kit.Ref(tb, "a"))
		_, calls["Get of nothing"] = r.Get(tb.Context(), kit.Ref(tb, "unknown"))
		_, calls["List"] = r.List(tb.Context(), registry.Query{})
		_, calls["ListAliases"] = r.ListAliases(tb.Context(), kit.Ref(tb, "a"))
		calls["Watch"] = await(tb, "the end of a watch", ending(within(tb), r, 0, func(e registry.Event) {
			tb.Errorf("Watch after Close saw %+v", e)
		}))
		for call, err := range calls {
			kit.WantClass(tb, err, faas.ErrClosed, "%s after Close", call)
		}
	}},
	{Name: "lifecycle/close-twice", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for range 3 {
			if err := r.Close(); err != nil {
				tb.Errorf("Close: %v", err)
			}
		}
	}},
	{Name: "lifecycle/close-under-load", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		kit.Together(5, func(i int) {
			if i == 0 {
				if err := r.Close(); err != nil {
					tb.Errorf("Close: %v", err)
				}
				return
			}
			for n := range 1_000_000 {
				_, err := r.Get(tb.Context(), kit.Ref(tb, "a"))
				if i == 1 {
					_, err = r.Publish(tb.Context(), kit.Ref(tb, "a"), sampleSpec(n), nil)
				}
				if err != nil {
					kit.WantClass(tb, err, faas.ErrClosed, "a call during Close")
					return
				}
			}
			tb.Errorf("calls go on to work during Close")
		})
	}},
}
