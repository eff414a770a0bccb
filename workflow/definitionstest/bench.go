package definitionstest

import (
	"fmt"
	"testing"

	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/workflow"
)

// Bench measures a registry of 1,000 workflows: look-ups of the latest version and of a number, a page of a list, and
// the registration of a new version.
func Bench(b *testing.B, h Harness) {
	r := h.open(b)
	const workflows = 1000
	kit.Together(8, func(worker int) {
		for i := worker; i < workflows; i += 8 {
			if _, err := r.Register(b.Context(), sample(b, fmt.Sprintf("w-%04d", i), i)); err != nil {
				b.Errorf("Register: %v", err)
				return
			}
		}
	})
	for name, at := range map[string]string{"latest": "w-0500", "number": "w-0500@1"} {
		ref := kit.Ref(b, at)
		b.Run("get/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Get(b.Context(), ref); err != nil {
					b.Fatalf("Get: %v", err)
				}
			}
		})
	}
	b.Run("list/page-of-100", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if page, err := r.List(b.Context(), workflow.DefinitionQuery{}); err != nil || len(page.Definitions) != workflow.DefaultPage {
				b.Fatalf("List: %d definitions, %v", len(page.Definitions), err)
			}
		}
	})
	b.Run("register", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			register(b, r, "registered", n)
		}
	})
}
