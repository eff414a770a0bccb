package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

var lifecycleClauses = []clause{
	{Name: "lifecycle/close-twice", Check: func(tb testing.TB, h Harness) {
		s := h.Open(tb)
		start(tb, s, ref("a"), 1)
		for range 2 {
			if err := s.Close(); err != nil {
				tb.Errorf("Close: %v", err)
			}
		}
	}},
	{Name: "lifecycle/after-close", Check: func(tb testing.TB, h Harness) {
		s := h.Open(tb)
		x := ref("a")
		_, d, data := large("held by reference")
		put(tb, s, &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: events(1, 1), Payloads: map[faas.Digest][]byte{d: data}})
		if err := s.Close(); err != nil {
			tb.Fatalf("Close: %v", err)
		}
		ctx := tb.Context()
		for op, call := range map[string]func() error{
			"Append":  func() error { return s.Append(ctx, &workflow.Batch{Execution: x, After: 1, Events: events(2, 1)}) },
			"Read":    func() error { _, err := s.Read(ctx, x, 1, 0); return err },
			"Payload": func() error { _, err := s.Payload(ctx, x, d); return err },
			"Get":     func() error { _, err := s.Get(ctx, x); return err },
			"List":    func() error { _, err := s.List(ctx, workflow.ExecutionQuery{}); return err },
			"Delete":  func() error { return s.Delete(ctx, x) },
			"Recover": func() (last error) {
				for _, err := range s.Recover(ctx) {
					last = err
				}
				return last
			},
		} {
			wantClass(tb, call(), faas.ErrClosed, "%s after Close", op)
		}
	}},
	{Name: "lifecycle/close-while-busy", Check: func(tb testing.TB, h Harness) {
		s := h.Open(tb)
		for i := range 50 {
			start(tb, s, ref(fmt.Sprint("open", i)), 1)
		}
		var group sync.WaitGroup
		began := make(chan struct{}, 6)
		for w := range 6 {
			group.Go(func() {
				for i := 0; ; i++ {
					var err error
					switch w % 3 {
					case 0:
						x := ref(fmt.Sprintf("x-%d-%d", w, i))
						err = s.Append(tb.Context(), &workflow.Batch{Execution: x, Record: record(x, i, workflow.StatusRunning), Events: events(1, 1)})
					case 1:
						_, err = s.List(tb.Context(), workflow.ExecutionQuery{})
					case 2:
						for _, err = range s.Recover(tb.Context()) {
							if err != nil {
								break
							}
						}
					}
					if i == 0 {
						began <- struct{}{}
					}
					if err != nil {
						if !errors.Is(err, faas.ErrClosed) {
							tb.Errorf("while it closes: %v, want %q", err, faas.ErrClosed)
						}
						return
					}
				}
			})
		}
		for range 6 {
			<-began
		}
		if err := s.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
		group.Wait()
	}},
}
