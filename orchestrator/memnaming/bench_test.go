package memnaming

import (
	"context"
	"fmt"
	"testing"
)

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("statuses/node-%d/instance-%d", i%10, i)
	}
	return out
}

func BenchmarkPut(b *testing.B) {
	s := New(nil)
	defer s.Close()
	all, value := names(10_000), make([]byte, 200)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = s.Put(context.Background(), all[i%len(all)], value, nil)
	}
}

func BenchmarkPutDelete(b *testing.B) {
	s := New(nil)
	defer s.Close()
	all := names(10_001)
	for _, n := range all[:10_000] {
		_, _ = s.Put(context.Background(), n, nil, nil)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Put(context.Background(), all[10_000], nil, nil)
		_ = s.Delete(context.Background(), all[10_000], nil)
	}
}

func BenchmarkGet(b *testing.B) {
	s := New(nil)
	defer s.Close()
	all := names(10_000)
	for _, n := range all {
		_, _ = s.Put(context.Background(), n, nil, nil)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = s.Get(context.Background(), all[i%len(all)])
	}
}

// BenchmarkWatch is the time from a put until a watch on another goroutine has
// delivered it and answered, with 1,000 watches of other prefixes.
func BenchmarkWatch(b *testing.B) {
	for _, others := range []int{0, 1000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			s := New(nil)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{}, others+1)
			for i := range others {
				go func() {
					for range s.Watch(ctx, fmt.Sprintf("nodes/n%d/", i), 0) {
					}
					done <- struct{}{}
				}()
			}
			seen := make(chan struct{})
			go func() {
				for _, err := range s.Watch(ctx, "statuses/", 0) {
					if err == nil {
						seen <- struct{}{}
					}
				}
				done <- struct{}{}
			}()
			for b.Loop() {
				_, _ = s.Put(ctx, "statuses/a", nil, nil)
				<-seen
			}
			cancel()
			for range others + 1 {
				<-done
			}
			_ = s.Close()
		})
	}
}
