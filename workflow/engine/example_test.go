package engine_test

import (
	"context"
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
)

// greeting calls one function and ends with its answer.
type greeting struct{ script }

func ExampleNew() {
	ctx := context.Background()
	hello := faas.InvokerFunc(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		name, err := req.Body.Text()
		return &faas.Response{Body: faas.String(`"hello, ` + name + `"`)}, err
	})
	languages, err := workflow.NewLanguages(scripts{"greet": greeting{on(func(e *workflow.Event) []workflow.Command {
		if e.Kind == workflow.ExecutionStarted {
			return []workflow.Command{{Kind: workflow.CommandCall, Step: "hello", Target: faas.Ref{Name: "hello"}, Payload: e.Payload}}
		}
		return []workflow.Command{{Kind: workflow.CommandSucceed, Payload: e.Payload}}
	})}})
	if err != nil {
		fmt.Println(err)
		return
	}
	registry, err := memdefinitions.New(languages)
	if err != nil {
		fmt.Println(err)
		return
	}
	store := memstore.New(nil)
	defer store.Close()
	eng, err := engine.New(engine.Config{Functions: hello, Registry: registry, Languages: languages, Scheduler: fifo.New(nil), Express: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer eng.Close()
	if err := eng.Recover(ctx); err != nil {
		fmt.Println(err)
		return
	}
	_, err = registry.Register(ctx, workflow.Definition{Ref: faas.Ref{Name: "greet"}, Language: "script", Source: "greet", Durability: workflow.Express})
	if err != nil {
		fmt.Println(err)
		return
	}
	ref, err := eng.Start(ctx, workflow.StartRequest{Workflow: faas.Ref{Name: "greet"}, ID: "first", Input: workflow.Bytes("text/plain", []byte("world"))})
	if err != nil {
		fmt.Println(err)
		return
	}
	x, err := eng.Wait(ctx, ref)
	if err != nil {
		fmt.Println(err)
		return
	}
	output, _ := x.Output.InHand()
	fmt.Println(ref, x.Workflow, x.Status, string(output))
	// Output:
	// default/first#1 default/greet@1 succeeded "hello, world"
}
