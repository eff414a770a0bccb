package drivertest

import (
	"testing"
)

// Bench measures a driver: "start-stop" is a whole life of an instance, "first-answer" the
// part of it from Start to the answer to a first call, and "list-100" List with 100 tasks.
func Bench(b *testing.B, h Harness) {
	b.Run("start-stop", func(b *testing.B) {
		f := open(b, h)
		for b.Loop() {
			f.stop(f.serve().ID, 0)
		}
	})
	b.Run("first-answer", func(b *testing.B) {
		f := open(b, h)
		for b.Loop() {
			st := f.serve()
			f.text(st.Endpoint, "/echo", "", "hello")
			b.StopTimer()
			f.stop(st.ID, 0)
			b.StartTimer()
		}
	})
	b.Run("list-100", func(b *testing.B) {
		f := open(b, h)
		for range 100 {
			f.serve()
		}
		for b.Loop() {
			f.list()
		}
	})
}
