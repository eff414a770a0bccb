package orchestratortest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

var namingConcurrencyClauses = []clause[NamingHarness]{
	{"concurrency/exactly-one-winner", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		for round := range 50 {
			name := fmt.Sprint("leader/", round)
			var winners atomic.Int32
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					_, err := s.Put(tb.Context(), name, []byte(itoa(int64(i))), &orchestrator.PutOptions{IfRevision: new(faas.Revision)})
					if err == nil {
						winners.Add(1)
					} else {
						wantClass(tb, err, faas.ErrConflict, "creating a name that exists")
					}
				})
			}
			all.Wait()
			if n := winners.Load(); n != 1 {
				tb.Fatalf("%d of 8 created the name", n)
			}
		}
	}},
	{"concurrency/no-update-is-lost", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		put(tb, s, "counter", []byte("0"), nil)
		const workers, each = 4, 50
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for done := 0; done < each; {
					e, err := s.Get(tb.Context(), "counter")
					if err != nil {
						tb.Errorf("get: %v", err)
						return
					}
					n, _ := strconv.Atoi(string(e.Value))
					_, err = s.Put(tb.Context(), "counter", []byte(strconv.Itoa(n+1)), &orchestrator.PutOptions{IfRevision: &e.Revision})
					switch {
					case err == nil:
						done++
					case !errors.Is(err, faas.ErrConflict):
						tb.Errorf("put: %v", err)
						return
					}
				}
			})
		}
		all.Wait()
		if e := get(tb, s, "counter"); string(e.Value) != itoa(workers*each) {
			tb.Errorf("the counter is %s after %d increments", e.Value, workers*each)
		}
	}},
	{"concurrency/all-watches-see-the-same", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		const writers, each, watches = 4, 40, 3
		ws := make([]*watching, watches)
		for i := range ws {
			ws[i] = watch(tb, s, "a/", 0)
		}
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range each {
					if _, err := s.Put(tb.Context(), fmt.Sprint("a/", i%5), []byte(fmt.Sprint(w, ".", i)), nil); err != nil {
						tb.Errorf("put: %v", err)
					}
				}
			})
		}
		var last faas.Revision
		for range writers * each {
			e := ws[0].next(tb)
			if e.Entry.Revision <= last {
				tb.Fatalf("revision %d came after %d", e.Entry.Revision, last)
			}
			last = e.Entry.Revision
			for _, w := range ws[1:] {
				w.wantPut(tb, e.Entry)
			}
		}
		all.Wait()
	}},
}

var namingLifecycleClauses = []clause[NamingHarness]{
	{"context/an-ended-call-changes-nothing", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		put(tb, s, "a", []byte("v"), nil)
		id := grant(tb, s, longTTL)
		canceled, cancel := context.WithCancel(tb.Context())
		cancel()
		late, cancel := context.WithDeadline(tb.Context(), time.Now().Add(-time.Second))
		defer cancel()
		for ctx, class := range map[context.Context]error{canceled: faas.ErrCanceled, late: faas.ErrTimeout} {
			for op, err := range namingCalls(ctx, s, id) {
				wantClass(tb, err, class, op)
			}
		}
		if e := get(tb, s, "a"); string(e.Value) != "v" {
			tb.Errorf("the value is %q", e.Value)
		}
		ok(tb, s.Revoke(tb.Context(), id), "revoke")
	}},
	{"lifecycle/closed", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		put(tb, s, "a", nil, nil)
		id := grant(tb, s, longTTL)
		ok(tb, s.Close(), "close")
		ok(tb, s.Close(), "a second close")
		for op, err := range namingCalls(tb.Context(), s, id) {
			wantClass(tb, err, faas.ErrClosed, op+" after close")
		}
	}},
}

// namingCalls makes every call and returns the errors.
func namingCalls(ctx context.Context, s orchestrator.NamingService, id orchestrator.LeaseID) map[string]error {
	errs := make(map[string]error)
	_, errs["put"] = s.Put(ctx, "a", []byte("x"), nil)
	_, errs["get"] = s.Get(ctx, "a")
	_, _, errs["list"] = s.List(ctx, "")
	errs["delete"] = s.Delete(ctx, "a", nil)
	_, errs["grant"] = s.Grant(ctx, time.Second)
	errs["renew"] = s.Renew(ctx, id)
	errs["revoke"] = s.Revoke(ctx, id)
	for _, err := range s.Watch(ctx, "a", 0) {
		errs["watch"] = err
		break
	}
	return errs
}
