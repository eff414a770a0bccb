package orchestratortest

import (
	"context"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// NamingHarness makes the naming services that RunNaming tests.
type NamingHarness struct {
	// Open returns a new and empty service. Required. The kit closes it.
	Open func(tb testing.TB) orchestrator.NamingService
	// InBubble runs each clause in a bubble of testing/synctest, where waiting costs no
	// time: for services that live in memory and need no network.
	InBubble bool
	// LeaseTTL is the time to live of the leases that are to expire: short, but long enough
	// that a renewal after half of it is safely in time. Zero: 1 s.
	LeaseTTL time.Duration
	// History is the number of changes that an opened service keeps for Watch at most. Zero:
	// not known, and the clause that needs it is skipped. The other clauses want 200 at least.
	History int
	// Skip names subtests that the implementation does not pass, each with the reason.
	Skip map[string]string
}

// RunNaming tests every promise of an orchestrator.NamingService.
func RunNaming(t *testing.T, h NamingHarness) {
	if h.Open == nil {
		t.Fatal("orchestratortest: NamingHarness.Open is required")
	}
	runClauses(t, h, h.InBubble, h.Skip, namingClauses())
}

func namingClauses() []clause[NamingHarness] {
	return slices.Concat(namingNameClauses, namingSwapClauses, namingListClauses,
		namingWatchClauses, namingLeaseClauses, namingConcurrencyClauses, namingLifecycleClauses)
}

// BenchNaming measures the calls that a cold start makes: put, get, and a change until a watch has it.
func BenchNaming(b *testing.B, h NamingHarness) {
	value := make([]byte, 256)
	b.Run("put", func(b *testing.B) {
		s := openNaming(b, h)
		for b.Loop() {
			put(b, s, "a/name", value, nil)
		}
	})
	b.Run("get", func(b *testing.B) {
		s := openNaming(b, h)
		put(b, s, "a/name", value, nil)
		for b.Loop() {
			get(b, s, "a/name")
		}
	})
	b.Run("put-to-watch", func(b *testing.B) {
		s := openNaming(b, h)
		w := watch(b, s, "a/", 0)
		for b.Loop() {
			put(b, s, "a/name", value, nil)
			w.next(b)
		}
	})
}

// openNaming opens a service that is closed when the check ends.
func openNaming(tb testing.TB, h NamingHarness) orchestrator.NamingService {
	tb.Helper()
	s := h.Open(tb)
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

func (h NamingHarness) ttl() time.Duration {
	if h.LeaseTTL > 0 {
		return h.LeaseTTL
	}
	return time.Second
}

func put(tb testing.TB, s orchestrator.NamingService, name string, value []byte, o *orchestrator.PutOptions) orchestrator.Entry {
	tb.Helper()
	e, err := s.Put(tb.Context(), name, value, o)
	ok(tb, err, "put "+name)
	return e
}

func get(tb testing.TB, s orchestrator.NamingService, name string) orchestrator.Entry {
	tb.Helper()
	e, err := s.Get(tb.Context(), name)
	ok(tb, err, "get "+name)
	return e
}

func grant(tb testing.TB, s orchestrator.NamingService, ttl time.Duration) orchestrator.LeaseID {
	tb.Helper()
	id, err := s.Grant(tb.Context(), ttl)
	ok(tb, err, "grant")
	if id == 0 {
		tb.Fatal("grant returned the lease 0, which means none")
	}
	return id
}

func wantEntry(tb testing.TB, got, want orchestrator.Entry) {
	tb.Helper()
	if got.Name != want.Name || string(got.Value) != string(want.Value) || got.Revision != want.Revision || got.Lease != want.Lease {
		tb.Errorf("the entry is %s, want %s", show(got), show(want))
	}
}

func show(e orchestrator.Entry) string {
	value := string(e.Value)
	if len(value) > 40 {
		value = value[:40] + "…"
	}
	return "{" + e.Name + "=" + value + " @" + itoa(int64(e.Revision)) + " lease " + itoa(int64(e.Lease)) + "}"
}

// watching is a watch on a goroutine of its own, which ends with the check.
type watching struct {
	events chan orchestrator.Event
	end    chan error // has the error that ended it
}

func watch(tb testing.TB, s orchestrator.NamingService, prefix string, after faas.Revision) *watching {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	w := follow(ctx, s.Watch(ctx, prefix, after))
	tb.Cleanup(func() { cancel(); w.drain() })
	return w
}

func follow(ctx context.Context, seq iter.Seq2[orchestrator.Event, error]) *watching {
	w := &watching{events: make(chan orchestrator.Event), end: make(chan error, 1)}
	go func() {
		defer close(w.events)
		for e, err := range seq {
			if err != nil {
				w.end <- err
				return
			}
			select {
			case w.events <- e:
			case <-ctx.Done():
			}
		}
		w.end <- nil
	}()
	return w
}

func (w *watching) drain() {
	for range w.events {
	}
}

// next returns the next event.
func (w *watching) next(tb testing.TB) orchestrator.Event {
	tb.Helper()
	select {
	case e, open := <-w.events:
		if !open {
			tb.Fatalf("the watch ended with: %v", <-w.end)
		}
		return e
	case <-time.After(patience):
		tb.Fatal("the watch does not deliver a change")
	}
	return orchestrator.Event{}
}

// wantPut and wantDeleted check the next event.
func (w *watching) wantPut(tb testing.TB, want orchestrator.Entry) {
	tb.Helper()
	e := w.next(tb)
	if e.Deleted {
		tb.Errorf("the event says that %s was deleted, want a put of %s", show(e.Entry), show(want))
	}
	wantEntry(tb, e.Entry, want)
}

func (w *watching) wantDeleted(tb testing.TB, name string) orchestrator.Event {
	tb.Helper()
	e := w.next(tb)
	if !e.Deleted || e.Entry.Name != name {
		tb.Fatalf("the event is %s (deleted: %v), want the deletion of %s", show(e.Entry), e.Deleted, name)
	}
	return e
}

// wantEnd checks that the watch ends with one error of the class.
func (w *watching) wantEnd(tb testing.TB, class error, doing string) {
	tb.Helper()
	late := time.After(patience)
	for {
		select {
		case _, open := <-w.events:
			if open {
				continue
			}
			wantClass(tb, <-w.end, class, doing)
			return
		case <-late:
			tb.Fatalf("%s: the watch does not end", doing)
		}
	}
}
