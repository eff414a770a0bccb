package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/workflow"
)

// Bench measures a store: appends of one event to logs of 1, 64 and 256 writers, whole lives of
// executions of five steps, and recovery.
func Bench(b *testing.B, h Harness) {
	for _, writers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("append/%dwriters", writers), func(b *testing.B) { benchAppend(b, h, writers) })
		b.Run(fmt.Sprintf("lives/%dwriters", writers), func(b *testing.B) { benchLives(b, h, writers) })
	}
	b.Run("recover", func(b *testing.B) { benchRecover(b, h) })
}

// share runs f by so many goroutines until b.N is reached.
func share(b *testing.B, writers int, f func(writer int, next func() bool) error) {
	b.ReportAllocs()
	b.ResetTimer()
	var n atomic.Int64
	errs := make(chan error, writers)
	for w := range writers {
		go func() { errs <- f(w, func() bool { return n.Add(1) <= int64(b.N) }) }()
	}
	for range writers {
		if err := <-errs; err != nil {
			b.Error(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func benchAppend(b *testing.B, h Harness, writers int) {
	s := h.open(b)
	ctx := context.Background()
	share(b, writers, func(w int, next func() bool) error {
		x := ref(fmt.Sprint("x", w))
		if err := s.Append(ctx, &workflow.Batch{Execution: x, Record: record(x, w, workflow.StatusRunning), Events: events(1, 1)}); err != nil {
			return err
		}
		batch := &workflow.Batch{Execution: x, After: 1, Events: events(2, 1)}
		for next() {
			if err := s.Append(ctx, batch); err != nil {
				return err
			}
			batch.After++
			batch.Events[0].Seq++
		}
		return nil
	})
}

func benchLives(b *testing.B, h Harness, writers int) {
	s := h.open(b)
	ctx := context.Background()
	share(b, writers, func(w int, next func() bool) error {
		for i := 0; next(); i++ {
			x := ref(fmt.Sprintf("x-%d-%d", w, i))
			batch := &workflow.Batch{Execution: x, Record: record(x, i, workflow.StatusRunning), Events: events(1, 1)}
			for step := range 6 {
				if step == 5 {
					batch.Record = record(x, i, workflow.StatusSucceeded)
				}
				if err := s.Append(ctx, batch); err != nil {
					return err
				}
				batch.After++
				batch.Record, batch.Events = nil, events(batch.After+1, 1)
			}
		}
		return nil
	})
}

// benchRecover recovers 10,000 executions of ten events.
func benchRecover(b *testing.B, h Harness) {
	s := h.open(b)
	const executions, each = 10_000, 10
	for i := range executions {
		x := ref(fmt.Sprint("x", i))
		if err := s.Append(context.Background(), &workflow.Batch{Execution: x, Record: record(x, i, workflow.StatusRunning), Events: events(1, each)}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		if h.Reopen != nil {
			b.StopTimer()
			s = kit.Closing(b, h.Reopen(b, s))
			b.StartTimer()
		}
		n := 0
		for r, err := range s.Recover(context.Background()) {
			if err != nil {
				b.Fatal(err)
			}
			n += len(r.Events)
		}
		if n != executions*each {
			b.Fatalf("%d events", n)
		}
	}
	b.ReportMetric(float64(b.N)*executions*each/b.Elapsed().Seconds(), "events/s")
}
