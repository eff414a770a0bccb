package registrytest

import (
	"fmt"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

// benchFunctions is how many functions the benchmarked registry holds.
const benchFunctions = 10_000

// Bench measures a registry of 10,000 functions: look-ups of the latest version, of a number and of an
// alias, alone and from all processors at once, a page of a list, a publish, and for
// a durable one the opening.
func Bench(b *testing.B, h Harness) {
	r := h.Open(b)
	defer func() {
		if err := r.Close(); err != nil {
			b.Errorf("Close at the end: %v", err)
		}
	}()
	const publishers = 64
	kit.Together(publishers, func(i int) {
		for n := i; n < benchFunctions; n += publishers {
			if _, err := r.Publish(b.Context(), faas.Ref{Name: fmt.Sprintf("f-%05d", n)}, sampleSpec(n), nil); err != nil {
				b.Errorf("Publish: %v", err)
				return
			}
		}
	})
	setAlias(b, r, "f-05000@live", "1")

	for name, ref := range map[string]faas.Ref{
		"latest": kit.Ref(b, "f-05000"), "number": kit.Ref(b, "f-05000@1"), "alias": kit.Ref(b, "f-05000@live"),
	} {
		look := func(b testing.TB) {
			if fn, err := r.Get(b.Context(), ref); err != nil || fn.Ref.Version != "1" {
				b.Fatalf("Get(%v): %v, %v", ref, fn.Ref, err)
			}
		}
		b.Run("get/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				look(b)
			}
		})
		b.Run("get-parallel/"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					look(b)
				}
			})
		})
	}
	b.Run("list/page-of-100", func(b *testing.B) {
		b.ReportAllocs()
		q := registry.Query{}
		for b.Loop() {
			page, err := r.List(b.Context(), q)
			if err != nil {
				b.Fatal(err)
			}
			q.Token = page.Next
		}
	})
	b.Run("publish", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			if _, err := r.Publish(b.Context(), faas.Ref{Name: "published"}, sampleSpec(n), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("publish-64-at-once", func(b *testing.B) {
		b.SetParallelism(publishers)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := r.Publish(b.Context(), faas.Ref{Name: "published"}, sampleSpec(1), nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	if h.Reopen != nil {
		b.Run("reopen", func(b *testing.B) {
			for b.Loop() {
				r = h.Reopen(b, r)
			}
		})
	}
}
