package routertest

import (
	"context"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/router"
)

// Bench measures what the router adds to a call: warm from one caller, warm from many, and with
// four callers for each slot. The instances answer at once.
func Bench(b *testing.B, h Harness) {
	for _, c := range []struct {
		name        string
		concurrency int
		callers     int // for each processor; 0: one in all
	}{{"warm", 100, 0}, {"warm-parallel", 1000, 1}, {"queued", 1, 4}} {
		b.Run(c.name, func(b *testing.B) {
			r := h.Open(b, Config{
				Resolver: catalogue{faas.Spec{Contract: faas.ContractHandler, Command: []string{"f"}, Concurrency: c.concurrency, Scale: faas.Scale{Max: 1}}},
				Deployer: instant{},
			})
			if err := r.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := r.Shutdown(context.Background()); err != nil {
					b.Error(err)
				}
			}()
			bench(b, r, c.callers)
		})
	}
}

func bench(b *testing.B, r router.Router, callers int) {
	b.ReportAllocs()
	req := &faas.Request{Function: faas.Ref{Name: "f"}}
	if callers == 0 {
		for b.Loop() {
			if _, err := r.Invoke(context.Background(), req); err != nil {
				b.Fatal(err)
			}
		}
		return
	}
	b.SetParallelism(callers)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.Invoke(context.Background(), req); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// instant deploys instances that only answer.
type instant struct{}

func (instant) Deploy(context.Context, faas.Function, *deployer.Options) (faas.Instance, error) {
	return &instantly{done: make(chan struct{})}, nil
}

type instantly struct{ done chan struct{} }

var nothing = &faas.Response{}

func (*instantly) Invoke(context.Context, *faas.Request) (*faas.Response, error) { return nothing, nil }
func (*instantly) ID() string                                                    { return "instant" }
func (i *instantly) Done() <-chan struct{}                                       { return i.done }
func (*instantly) Err() error                                                    { return nil }
func (i *instantly) Stop(context.Context) error                                  { close(i.done); return nil }
