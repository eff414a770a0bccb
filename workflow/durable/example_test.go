package durable_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
)

// A whole engine for one workflow: hello calls a function, and its progress is in the store.
func ExampleNew() {
	hello := durable.Workflow("hello", "1", func(ctx durable.Context, name string) (string, error) {
		return durable.Call[string](ctx, faas.Ref{Name: "greet"}, name, nil).Get()
	})
	language, err := durable.New(nil, hello)
	if err != nil {
		panic(err)
	}
	languages, err := workflow.NewLanguages(language)
	if err != nil {
		panic(err)
	}
	registry, err := memdefinitions.New(languages)
	if err != nil {
		panic(err)
	}
	defer registry.Close()
	store := memstore.New(nil)
	defer store.Close()
	functions := faas.InvokerFunc(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		name, err := req.Body.Text()
		return &faas.Response{Body: faas.String(`"hello, ` + strings.Trim(name, `"`) + `"`)}, err
	})
	e, err := engine.New(engine.Config{Functions: functions, Registry: registry, Languages: languages, Scheduler: fifo.New(nil), Store: store})
	if err != nil {
		panic(err)
	}
	defer e.Close()

	ctx := context.Background()
	if _, err := registry.Register(ctx, hello.Definition()); err != nil {
		panic(err)
	}
	if err := e.Recover(ctx); err != nil {
		panic(err)
	}
	ref, err := e.Start(ctx, workflow.StartRequest{Workflow: faas.Ref{Name: "hello"}, Input: workflow.JSON(`"world"`)})
	if err != nil {
		panic(err)
	}
	x, err := e.Wait(ctx, ref)
	if err != nil {
		panic(err)
	}
	fmt.Println(x.Status, string(must(x.Output.Bytes(ctx))))
	// Output: succeeded "hello, world"
}

// A trip is booked step by step; when one fails, what was booked is undone, the last first.
func ExampleSaga() {
	book := durable.Workflow("book", "1", func(ctx durable.Context, trip string) (out string, err error) {
		var saga durable.Saga
		defer func() {
			if err != nil {
				err = errors.Join(err, saga.Compensate(ctx))
			}
		}()
		for _, what := range []string{"hotel", "flight", "car"} {
			if err := durable.Call[any](ctx, faas.Ref{Name: "book-" + what}, trip, nil).Err(); err != nil {
				return "", err
			}
			saga.Add(func(ctx durable.Context) error {
				return durable.Call[any](ctx, faas.Ref{Name: "cancel-" + what}, trip, nil).Err()
			})
		}
		return "booked", nil
	})
	e := startEngine(book, func(name, _ string) (string, error) {
		fmt.Println(name)
		if name == "book-car" {
			return "", errors.New("sold out")
		}
		return "null", nil
	})
	defer e.close()
	fmt.Println(e.wait(e.start("book", "rome")).Status)
	// Output:
	// book-hotel
	// book-flight
	// book-car
	// cancel-flight
	// cancel-hotel
	// failed
}

// The words of some texts are counted, two texts at a time, and the counts added.
func ExampleMap() {
	count := durable.Workflow("count", "1", func(ctx durable.Context, texts []string) (int, error) {
		counts, err := durable.Map(ctx, texts, 2, func(ctx durable.Context, _ int, text string) (int, error) {
			return durable.Call[int](ctx, faas.Ref{Name: "words"}, text, nil).Get()
		})
		sum := 0
		for _, n := range counts {
			sum += n
		}
		return sum, err
	})
	e := startEngine(count, func(_, text string) (string, error) { return fmt.Sprint(len(strings.Fields(text))), nil })
	defer e.close()
	fmt.Println(e.output(e.start("count", []string{"to be or not to be", "that is the question"})))
	// Output: 10
}

// An order waits for a person, but not for ever.
func ExampleReceive() {
	order := durable.Workflow("order", "1", func(ctx durable.Context, limit time.Duration) (string, error) {
		who, err := durable.Receive[string](ctx, "approve", limit).Get()
		switch {
		case errors.Is(err, faas.ErrTimeout):
			return "nobody approved", nil
		case err != nil:
			return "", err
		}
		return "approved by " + who, nil
	})
	e := startEngine(order, nil)
	defer e.close()
	ref := e.start("order", 48*time.Hour)
	if err := e.Signal(context.Background(), ref, "approve", workflow.JSON(`"ann"`)); err != nil {
		panic(err)
	}
	fmt.Println(e.output(ref))
	fmt.Println(e.output(e.start("order", time.Millisecond)))
	// Output:
	// "approved by ann"
	// "nobody approved"
}

// The history of an execution is kept as a test of the code to come.
func ExampleReplay() {
	code := func(first string) durable.Code {
		return durable.Workflow("pay", "1", func(ctx durable.Context, _ any) (string, error) {
			return "done", durable.Call[any](ctx, faas.Ref{Name: first}, nil, nil).Err()
		})
	}
	e := startEngine(code("charge"), nil)
	defer e.close()
	ref := e.start("pay", nil)
	e.output(ref)
	history := must(e.History(context.Background(), ref, workflow.HistoryQuery{}))

	changed := must(durable.New(nil, code("reserve")))
	err := durable.Replay(changed, history.Events)
	fmt.Println(errors.Is(err, faas.ErrConflict))
	fmt.Println(strings.Split(err.Error(), "; the last")[0])
	// Output:
	// true
	// durable: step "default/pay#1": conflict: workflow pay@1 does not fit its history at event 2 (step-succeeded): it is the outcome of a step that the code does not have open; history has step "charge" (node charge of default/charge); the code, after event 1, waits for "reserve" (call default/reserve)
}

// exampleEngine runs one workflow in memory.
type exampleEngine struct {
	*engine.Engine
	parts []io.Closer
}

func startEngine(code durable.Code, function func(name, body string) (string, error)) *exampleEngine {
	languages := must(workflow.NewLanguages(must(durable.New(nil, code))))
	registry, store := must(memdefinitions.New(languages)), memstore.New(nil)
	must(registry.Register(context.Background(), code.Definition()))
	invoke := faas.InvokerFunc(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		body, err := req.Body.Text()
		if err != nil || function == nil {
			return &faas.Response{Body: faas.String("null")}, err
		}
		out, err := function(req.Function.Name, body)
		if err != nil {
			return &faas.Response{Status: 500, Body: faas.String(err.Error())}, nil
		}
		return &faas.Response{Body: faas.String(out)}, nil
	})
	e := must(engine.New(engine.Config{Functions: invoke, Registry: registry, Languages: languages, Scheduler: fifo.New(nil), Store: store}))
	if err := e.Recover(context.Background()); err != nil {
		panic(err)
	}
	return &exampleEngine{e, []io.Closer{e, registry, store}}
}

func (e *exampleEngine) close() {
	for _, p := range e.parts {
		if err := p.Close(); err != nil {
			panic(err)
		}
	}
}

// start starts an execution with the workflow's name as its ID.
func (e *exampleEngine) start(name string, input any) workflow.ExecutionRef {
	req := workflow.StartRequest{Workflow: faas.Ref{Name: name}, ID: name, Reuse: workflow.ReuseClosed, Input: must(workflow.MarshalPayload(input))}
	return must(e.Start(context.Background(), req))
}

func (e *exampleEngine) wait(ref workflow.ExecutionRef) workflow.Execution {
	return must(e.Wait(context.Background(), ref))
}

func (e *exampleEngine) output(ref workflow.ExecutionRef) string {
	x := e.wait(ref)
	return string(must(x.Output.Bytes(context.Background())))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
