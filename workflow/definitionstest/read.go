package definitionstest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/workflow"
)

var readClauses = []clause{
	{Name: "get/latest-and-version", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		var want []workflow.Definition
		for i := range 11 {
			want = append(want, register(tb, r, "a", i))
		}
		for _, d := range want {
			wantSame(tb, "read", get(tb, r, d.Ref.String()), d)
		}
		wantSame(tb, "the latest", get(tb, r, "a"), want[10])
		d, err := r.Get(tb.Context(), faas.Ref{Name: "a", Version: "2"})
		if err != nil {
			tb.Errorf("Get without a namespace: %v", err)
		}
		wantSame(tb, "without a namespace", d, want[1])
	}},
	{Name: "get/unknown", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		register(tb, r, "a", 1)
		for _, name := range []string{"b", "ns/a", "a@2", "a@18446744073709551615"} {
			_, err := r.Get(tb.Context(), kit.Ref(tb, name))
			wantClass(tb, err, faas.ErrNotFound, "Get(%s)", name)
		}
	}},
	{Name: "get/bad-reference", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		register(tb, r, "a", 1)
		for _, bad := range []faas.Ref{
			{}, {Name: "A"}, {Name: "../a"}, {Namespace: "..", Name: "a"}, {Name: "a", Version: "live"},
			{Name: "a", Version: "01"}, {Name: "a", Version: "0"}, {Name: "a", Version: "99999999999999999999"},
		} {
			_, err := r.Get(tb.Context(), bad)
			wantClass(tb, err, faas.ErrInvalidArgument, "Get(%+v)", bad)
		}
	}},
}

var deleteClauses = []clause{
	{Name: "delete/version", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for i := range 3 {
			register(tb, r, "a", i)
		}
		remove(tb, r, "a@2")
		_, err := r.Get(tb.Context(), kit.Ref(tb, "a@2"))
		wantClass(tb, err, faas.ErrNotFound, "Get of a deleted version")
		get(tb, r, "a@1")
		wantNumber(tb, "the latest", get(tb, r, "a"), "3")
		remove(tb, r, "a@3")
		wantNumber(tb, "the latest after it was deleted", get(tb, r, "a"), "1")
	}},
	{Name: "delete/workflow", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for i := range 3 {
			register(tb, r, "a", i)
		}
		register(tb, r, "ns/a", 1)
		register(tb, r, "a-1", 1)
		remove(tb, r, "a")
		for _, name := range []string{"a", "a@1", "a@2", "a@3"} {
			_, err := r.Get(tb.Context(), kit.Ref(tb, name))
			wantClass(tb, err, faas.ErrNotFound, "Get(%s) after its deletion", name)
		}
		get(tb, r, "ns/a")
		get(tb, r, "a-1")
	}},
	{Name: "delete/numbers-are-not-reused", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for _, name := range []string{"a", "b"} {
			register(tb, r, name, 1)
			register(tb, r, name, 2)
		}
		remove(tb, r, "a@2")
		remove(tb, r, "b")
		wantNumber(tb, "a after its latest was deleted", register(tb, r, "a", 2), "3")
		wantNumber(tb, "b after it was deleted", register(tb, r, "b", 2), "3")
	}},
	{Name: "delete/unknown", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		register(tb, r, "a", 1)
		register(tb, r, "b", 1)
		remove(tb, r, "b")
		for _, name := range []string{"c", "ns/a", "a@2", "b", "b@1"} {
			wantClass(tb, r.Delete(tb.Context(), kit.Ref(tb, name)), faas.ErrNotFound, "Delete(%s)", name)
		}
		for _, bad := range []faas.Ref{{}, {Name: ".."}, {Name: "a", Version: "live"}, {Name: "a", Version: "0"}} {
			wantClass(tb, r.Delete(tb.Context(), bad), faas.ErrInvalidArgument, "Delete(%+v)", bad)
		}
		get(tb, r, "a")
	}},
}

// calls are all methods but Close, over a registry with a@1 and a@2.
func calls(ctx context.Context, tb testing.TB, r workflow.Registry) map[string]error {
	all := map[string]error{}
	_, all["Register"] = r.Register(ctx, sample(tb, "a", 3))
	_, all["Register of what is there"] = r.Register(ctx, sample(tb, "a", 2))
	all["Delete"] = r.Delete(ctx, kit.Ref(tb, "a@2"))
	_, all["Get"] = r.Get(ctx, kit.Ref(tb, "a"))
	_, all["Get of nothing"] = r.Get(ctx, kit.Ref(tb, "unknown"))
	_, all["List"] = r.List(ctx, workflow.DefinitionQuery{})
	return all
}

var lifecycleClauses = []clause{
	{Name: "lifecycle/ended-context-changes-nothing", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		register(tb, r, "a", 1)
		register(tb, r, "a", 2)
		canceled, cancel := context.WithCancel(tb.Context())
		cancel()
		late, stop := context.WithDeadline(tb.Context(), time.Now().Add(-time.Second))
		defer stop()
		for class, ctx := range map[error]context.Context{faas.ErrCanceled: canceled, faas.ErrTimeout: late} {
			_, err := r.Register(ctx, sample(tb, "a", 3))
			wantClass(tb, err, class, "Register")
			wantClass(tb, r.Delete(ctx, kit.Ref(tb, "a@1")), class, "Delete")
		}
		get(tb, r, "a@1")
		wantNumber(tb, "the latest", get(tb, r, "a"), "2")
	}},
	{Name: "lifecycle/closed", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		register(tb, r, "a", 1)
		register(tb, r, "a", 2)
		if err := r.Close(); err != nil {
			tb.Fatalf("Close: %v", err)
		}
		for call, err := range calls(tb.Context(), tb, r) {
			wantClass(tb, err, faas.ErrClosed, "%s after Close", call)
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
}

// durable skips a registry that is not, and returns the function that opens one again.
func (h Harness) durable(tb testing.TB) func(workflow.Registry) workflow.Registry {
	if h.Reopen == nil {
		tb.Skip("the registry is not durable: Harness.Reopen is nil")
	}
	return func(r workflow.Registry) workflow.Registry {
		return kit.Closing(tb, h.Reopen(tb, r, languages(tb)))
	}
}

var durabilityClauses = []clause{
	{Name: "durability/definitions", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		r := h.open(tb)
		var want []workflow.Definition
		for i := range 12 {
			want = append(want, register(tb, r, fmt.Sprintf("ns-%d/a", i%3), i))
		}
		for range 2 {
			r = reopen(r)
			for _, d := range want {
				wantSame(tb, "after a reopen", get(tb, r, d.Ref.String()), d)
			}
			if got := kit.Walk(tb, listed{r}, kit.Query{AllVersions: true}, nil); len(got) != len(want) {
				tb.Errorf("after a reopen %d definitions are listed, want %d: %v", len(got), len(want), got)
			}
		}
		wantNumber(tb, "what is there already", register(tb, r, "ns-2/a", 11), "4")
	}},
	{Name: "durability/deletions", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		r := h.open(tb)
		for _, name := range []string{"a", "b"} {
			register(tb, r, name, 1)
			register(tb, r, name, 2)
		}
		remove(tb, r, "b@2")
		remove(tb, r, "a")
		r = reopen(r)
		for _, name := range []string{"a", "a@1", "a@2", "b@2"} {
			_, err := r.Get(tb.Context(), kit.Ref(tb, name))
			wantClass(tb, err, faas.ErrNotFound, "Get(%s) after a reopen", name)
		}
		wantNumber(tb, "b after a reopen", get(tb, r, "b"), "1")
	}},
	{Name: "durability/numbers-are-not-reused", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		r := h.open(tb)
		for _, name := range []string{"a", "b", "c"} {
			register(tb, r, name, 1)
			register(tb, r, name, 2)
		}
		remove(tb, r, "a@2")
		remove(tb, r, "b@2")
		remove(tb, r, "b@1") // the last one to go is not the highest
		remove(tb, r, "c")
		r = reopen(r)
		for _, name := range []string{"a", "b", "c"} {
			wantNumber(tb, name, register(tb, r, name, 3), "3")
		}
	}},
}
