package orchestratortest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

var namingWatchClauses = []clause[NamingHarness]{
	{"watch/order-without-gaps", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		w := watch(tb, s, "a/", 0)
		const n = 150
		entries := make(chan orchestrator.Entry, n)
		go func() {
			defer close(entries)
			for i := range n {
				e, err := s.Put(tb.Context(), fmt.Sprint("a/", i%7), []byte(itoa(int64(i))), nil)
				if err != nil {
					tb.Errorf("put: %v", err)
					return
				}
				entries <- e
			}
		}()
		for e := range entries {
			w.wantPut(tb, e)
		}
	}},
	{"watch/from-a-revision", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		var all []orchestrator.Entry
		for i := range 5 {
			all = append(all, put(tb, s, "a", []byte(itoa(int64(i))), nil))
		}
		for i := range all {
			w := watch(tb, s, "a", all[i].Revision)
			for _, e := range all[i+1:] {
				w.wantPut(tb, e)
			}
			all = append(all, put(tb, s, "a", []byte(itoa(int64(len(all)))), nil))
			w.wantPut(tb, all[len(all)-1])
		}
	}},
	{"watch/prefix", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		w := watch(tb, s, "a/b", 0)
		everything := watch(tb, s, "", 0)
		for _, name := range []string{"a", "a/b", "a/c", "b", "a/b/c", "A/b", "a/bc", "xa/b"} {
			e := put(tb, s, name, nil, nil)
			everything.wantPut(tb, e)
			if len(name) >= 3 && name[:3] == "a/b" {
				w.wantPut(tb, e)
			}
		}
		w.wantPut(tb, put(tb, s, "a/b/last", nil, nil))
	}},
	{"watch/deletions", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		w := watch(tb, s, "a", 0)
		e := put(tb, s, "a", []byte("v"), nil)
		w.wantPut(tb, e)
		ok(tb, s.Delete(tb.Context(), "a", nil), "delete")
		gone := w.wantDeleted(tb, "a")
		if gone.Entry.Revision <= e.Revision {
			tb.Errorf("the deletion has revision %d, not after %d", gone.Entry.Revision, e.Revision)
		}
		again := put(tb, s, "a", []byte("w"), nil)
		w.wantPut(tb, again)
		late := watch(tb, s, "a", gone.Entry.Revision)
		late.wantPut(tb, again)
	}},
	{"watch/refused-changes-are-not-seen", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		w := watch(tb, s, "a", 0)
		w.wantPut(tb, put(tb, s, "a", nil, &orchestrator.PutOptions{IfRevision: new(faas.Revision)}))
		_, err := s.Put(tb.Context(), "a", []byte("no"), &orchestrator.PutOptions{IfRevision: new(faas.Revision)})
		wantClass(tb, err, faas.ErrConflict, "put")
		_ = s.Delete(tb.Context(), "ab", nil)
		w.wantPut(tb, put(tb, s, "a", []byte("yes"), nil))
	}},
	{"watch/compacted", func(tb testing.TB, h NamingHarness) {
		if h.History <= 0 {
			tb.Skip("NamingHarness.History is not known")
		}
		s := openNaming(tb, h)
		first := put(tb, s, "a", nil, nil).Revision
		for i := range h.History + 1 {
			put(tb, s, "b", []byte(itoa(int64(i))), nil)
		}
		for _, after := range []faas.Revision{0, first} {
			ctx, cancel := context.WithCancel(tb.Context())
			w := follow(ctx, s.Watch(ctx, "", after))
			w.wantEnd(tb, faas.ErrExhausted, fmt.Sprintf("watch after %d, which is no longer kept", after))
			cancel()
		}
		_, r, err := s.List(tb.Context(), "")
		ok(tb, err, "list")
		w := watch(tb, s, "", r)
		w.wantPut(tb, put(tb, s, "c", nil, nil))
	}},
	{"watch/cancel", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		ctx, cancel := context.WithCancel(tb.Context())
		w := follow(ctx, s.Watch(ctx, "a", 0))
		e := put(tb, s, "a", nil, nil)
		w.wantPut(tb, e)
		cancel()
		w.wantEnd(tb, faas.ErrCanceled, "watch whose context was canceled")
		follow(ctx, s.Watch(ctx, "a", 0)).wantEnd(tb, faas.ErrCanceled, "watch with an ended context")
	}},
	{"watch/deadline", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Millisecond)
		defer cancel()
		follow(ctx, s.Watch(ctx, "a", 0)).wantEnd(tb, faas.ErrTimeout, "watch whose deadline passed")
	}},
	{"watch/close", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		w := watch(tb, s, "a", 0)
		w.wantPut(tb, put(tb, s, "a", nil, nil))
		ok(tb, s.Close(), "close")
		w.wantEnd(tb, faas.ErrClosed, "watch of a service that was closed")
	}},
	{"watch/the-reader-may-stop", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		put(tb, s, "a", nil, nil)
		seq := s.Watch(tb.Context(), "a", 0)
		for range 2 { // a sequence can be ranged over again
			n := 0
			for _, err := range seq {
				ok(tb, err, "watch")
				n++
				break
			}
			if n != 1 {
				tb.Error("the watch delivered nothing")
			}
		}
		put(tb, s, "a", nil, nil)
	}},
	{"watch/a-reader-that-waits-holds-up-nobody", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		put(tb, s, "a", nil, nil)
		for _, err := range s.Watch(tb.Context(), "", 0) {
			ok(tb, err, "watch")
			w := watch(tb, s, "b", 0)
			for i := range 100 {
				w.wantPut(tb, put(tb, s, "b", []byte(itoa(int64(i))), nil))
			}
			break
		}
	}},
}
