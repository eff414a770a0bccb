package durabletest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow/durable"
	"github.com/joinery/faas/workflow/durable/durabletest"
)

// example is what ExampleRun shows, for TestExampleRun to run.
var example func(t *testing.T)

// An order that waits two days for a person is tested in a moment.
func ExampleRun() {
	order := durable.Workflow("order", "1", func(ctx durable.Context, item string) (string, error) {
		price, err := durable.Call[int](ctx, faas.Ref{Name: "quote"}, item, nil).Get()
		if err != nil || price < 100 {
			return "ordered", err
		}
		who, err := durable.Receive[string](ctx, "approve", 48*time.Hour).Get()
		if errors.Is(err, faas.ErrTimeout) {
			return "nobody approved", nil
		}
		return "approved by " + who, err
	})
	testOrder := func(t *testing.T) { // func TestOrder(t *testing.T)
		durabletest.Run(t, func(env *durabletest.Env) {
			durabletest.Function(env, "quote", func(_ context.Context, item string) (int, error) { return len(item) * 30, nil })

			approved, expired := env.Start("order", "table"), env.Start("order", "chair")
			time.Sleep(47 * time.Hour) // virtual
			approved.Signal("approve", "ann")

			for x, want := range map[*durabletest.Execution]string{approved: "approved by ann", expired: "nobody approved"} {
				if out, err := durabletest.Result[string](x); out != want || err != nil {
					t.Errorf("got %q, %v; want %q", out, err, want)
				}
			}
			if n := len(env.Calls("quote")); n != 2 {
				t.Errorf("%d quotes", n)
			}
		}, order)
	}
	example = testOrder
	// Output:
}

func TestExampleRun(t *testing.T) {
	ExampleRun()
	example(t)
}
