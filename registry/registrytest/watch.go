package registrytest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

// collect returns the next n changes after a revision, which must come.
func collect(tb testing.TB, r registry.Registry, after faas.Revision, n int) (events []registry.Event) {
	tb.Helper()
	if n == 0 {
		return nil
	}
	for e, err := range r.Watch(within(tb), after) {
		if err != nil {
			tb.Fatalf("Watch after %d ended after %d of %d changes: %v", after, len(events), n, err)
		}
		if events = append(events, e); len(events) == n {
			return events
		}
	}
	tb.Fatalf("Watch after %d ended after %d of %d changes, without an error", after, len(events), n)
	return nil
}

// ending runs a watch to its end in the background; the channel gets the error it ended with.
// each is called for every change.
func ending(ctx context.Context, r registry.Registry, after faas.Revision, each func(registry.Event)) <-chan error {
	end := make(chan error, 1)
	go func() {
		var last error
		for e, err := range r.Watch(ctx, after) {
			if last != nil {
				last = fmt.Errorf("went on after its error: %w", last)
				break
			}
			if err != nil {
				last = err
			} else {
				each(e)
			}
		}
		end <- last
	}()
	return end
}

// await returns what the channel gives, or fails.
func await[T any](tb testing.TB, what string, ch <-chan T) (v T) {
	tb.Helper()
	select {
	case v = <-ch:
	case <-within(tb).Done():
		tb.Fatalf("waited %v in vain for %s", patience, what)
	}
	return v
}

// wantEvents compares kinds, references and targets, as "kind ref>target".
func wantEvents(tb testing.TB, events []registry.Event, want ...string) {
	tb.Helper()
	var got []string
	var last faas.Revision
	for _, e := range events {
		s := string(e.Kind) + " " + e.Ref.String()
		if e.Target != "" {
			s += ">" + e.Target
		}
		got = append(got, s)
		if e.Revision <= last {
			tb.Errorf("revision %d of %q after %d", e.Revision, s, last)
		}
		last = e.Revision
	}
	if !slices.Equal(got, want) {
		tb.Errorf("changes:\n got %q\nwant %q", got, want)
	}
}

var watchClauses = []clause{
	{Name: "watch/every-kind-of-change-in-order", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		one, two := publish(tb, r, "ns/a", 1), publish(tb, r, "ns/a", 2)
		set := setAlias(tb, r, "ns/a@live", "1")
		setAlias(tb, r, "ns/a@live", "2")
		remove(tb, r, "ns/a@1")
		setAlias(tb, r, "ns/a@next", "2")
		if err := r.DeleteAlias(tb.Context(), kit.Ref(tb, "ns/a@live")); err != nil {
			tb.Fatalf("DeleteAlias: %v", err)
		}
		publish(tb, r, "ns/a", 3)
		remove(tb, r, "ns/a")
		publish(tb, r, "b", 1)
		events := collect(tb, r, 0, 12)
		wantEvents(tb, events, "published ns/a@1", "published ns/a@2", "alias-set ns/a@live>1", "alias-set ns/a@live>2",
			"deleted ns/a@1", "alias-set ns/a@next>2", "alias-deleted ns/a@live", "published ns/a@3",
			"alias-deleted ns/a@next", "deleted ns/a@2", "deleted ns/a@3", "published default/b@1")
		for i, want := range []faas.Revision{one.Revision, two.Revision, set.Revision} {
			if events[i].Revision != want {
				tb.Errorf("change %d has revision %d, the call returned %d", i, events[i].Revision, want)
			}
		}
		if last, now := events[11].Revision, revision(tb, r); last != now {
			tb.Errorf("the last change has revision %d, the registry %d", last, now)
		}
	}},
	{Name: "watch/refused-calls-are-no-changes", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		zero := faas.Revision(0)
		_, err := r.Publish(tb.Context(), kit.Ref(tb, "a"), sampleSpec(1), &registry.PublishOptions{IfRevision: &zero})
		kit.WantClass(tb, err, faas.ErrConflict, "Publish")
		kit.WantClass(tb, r.Delete(tb.Context(), kit.Ref(tb, "a@9"), nil), faas.ErrNotFound, "Delete")
		setAlias(tb, r, "a@live", "1")
		kit.WantClass(tb, r.Delete(tb.Context(), kit.Ref(tb, "a@1"), nil), faas.ErrConflict, "Delete")
		publish(tb, r, "a", 2)
		wantEvents(tb, collect(tb, r, 0, 3), "published default/a@1", "alias-set default/a@live>1", "published default/a@2")
	}},
	{Name: "watch/from-any-revision", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for i := range 5 {
			publish(tb, r, "a", i)
		}
		publish(tb, r, "b", 1)
		remove(tb, r, "a")
		all := collect(tb, r, 0, 11)
		for i, e := range all[:10] {
			if got := collect(tb, r, e.Revision, 10-i); !reflect.DeepEqual(got, all[i+1:]) {
				tb.Errorf("after revision %d:\n got %v\nwant %v", e.Revision, got, all[i+1:])
			}
		}
	}},
	{Name: "watch/from-a-page", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		after := revision(tb, r)
		publish(tb, r, "b", 1)
		wantEvents(tb, collect(tb, r, after, 1), "published default/b@1")
	}},
	{Name: "watch/blocks-until-a-change", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		ctx, cancel := context.WithCancel(within(tb))
		defer cancel()
		events := make(chan registry.Event)
		end := ending(ctx, r, 0, func(e registry.Event) {
			select {
			case events <- e:
			case <-ctx.Done():
			}
		})
		for i := range 10 {
			fn := publish(tb, r, "a", i)
			if e := await(tb, "a change", events); e.Revision != fn.Revision {
				tb.Errorf("change %+v, want revision %d", e, fn.Revision)
			}
		}
		select {
		case e := <-events:
			tb.Errorf("a change that nobody made: %+v", e)
		case err := <-end:
			tb.Errorf("the watch ended by itself: %v", err)
		default:
		}
	}},
	{Name: "watch/ends-with-the-context", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		ctx, cancel := context.WithCancel(tb.Context())
		defer cancel()
		seen := make(chan registry.Event, 1)
		end := ending(ctx, r, 0, func(e registry.Event) { seen <- e })
		await(tb, "the first change", seen)
		cancel()
		err := await(tb, "the end of a cancelled watch", end)
		kit.WantClass(tb, err, faas.ErrCanceled, "a cancelled watch")
		if !errors.Is(err, context.Canceled) {
			tb.Errorf("%v: does not match context.Canceled", err)
		}
		late, stop := context.WithTimeout(tb.Context(), 1)
		defer stop()
		err = await(tb, "the end of a watch after its deadline", ending(late, r, 0, func(registry.Event) {}))
		kit.WantClass(tb, err, faas.ErrTimeout, "a watch after its deadline")
	}},
	{Name: "watch/ends-with-close", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		seen := make(chan registry.Event, 1)
		end := ending(tb.Context(), r, 0, func(e registry.Event) { seen <- e })
		await(tb, "the first change", seen)
		if err := r.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
		kit.WantClass(tb, await(tb, "the end of a watch after Close", end), faas.ErrClosed, "a watch after Close")
	}},
	{Name: "watch/many-watchers-see-the-same", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		const writers, each, watchers = 4, 25, 4
		seen := make([][]registry.Event, watchers)
		kit.Together(writers+watchers, func(i int) {
			if i < watchers {
				seen[i] = collectQuietly(within(tb), r, writers*each)
				return
			}
			for n := range each {
				if _, err := r.Publish(tb.Context(), faas.Ref{Name: fmt.Sprintf("f-%d", i)}, sampleSpec(n), nil); err != nil {
					tb.Errorf("Publish: %v", err)
				}
			}
		})
		for i, events := range seen {
			if len(events) != writers*each || !reflect.DeepEqual(events, seen[0]) {
				tb.Errorf("watcher %d saw %d of %d changes, or others than watcher 0", i, len(events), writers*each)
			}
		}
		next := make(map[string]int)
		for _, e := range seen[0] {
			name := e.Ref.Unversioned().String()
			next[name]++
			wantNumber(tb, "the next change of "+name, faas.Function{Ref: e.Ref}, fmt.Sprint(next[name]))
		}
	}},
	{Name: "watch/never-a-gap", Check: func(tb testing.TB, h Harness) {
		if h.History <= 0 {
			tb.Skip("Harness.History is not set")
		}
		r := h.open(tb)
		first := publish(tb, r, "a", 0)
		for i := range h.History {
			publish(tb, r, "a", i+1)
		}
		if h.History > 1 {
			wantEvents(tb, collect(tb, r, first.Revision, 1), "published default/a@2")
		}
		publish(tb, r, "a", h.History+1)
		for _, after := range []faas.Revision{0, first.Revision} {
			err := await(tb, "the end of a watch from a forgotten revision", ending(within(tb), r, after, func(e registry.Event) {
				tb.Errorf("a watch from a forgotten revision %d saw %+v", after, e)
			}))
			kit.WantClass(tb, err, faas.ErrExhausted, "Watch after %d when %d of %d changes are kept", after, h.History, h.History+2)
		}
		page, err := r.List(tb.Context(), registry.Query{})
		if err != nil {
			tb.Fatalf("List: %v", err)
		}
		publish(tb, r, "b", 1)
		wantEvents(tb, collect(tb, r, page.Revision, 1), "published default/b@1")
	}},
	{Name: "watch/revision-of-another-registry", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		fn := publish(tb, r, "a", 1)
		err := await(tb, "the end of a watch from the future", ending(within(tb), r, fn.Revision+1, func(registry.Event) {}))
		kit.WantClass(tb, err, faas.ErrExhausted, "Watch after a revision that was never reached")
	}},
}

// collectQuietly returns the first n changes, or as many as came before ctx ended.
func collectQuietly(ctx context.Context, r registry.Registry, n int) (events []registry.Event) {
	for e, err := range r.Watch(ctx, 0) {
		if err != nil {
			break
		}
		if events = append(events, e); len(events) == n {
			break
		}
	}
	return events
}
