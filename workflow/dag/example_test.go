package dag_test

import (
	"context"
	"fmt"
	"io"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/dag"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
)

// A definition in YAML, run by the engine over two functions.
func ExampleLanguage() {
	ctx := context.Background()
	functions := faas.InvokerFunc(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		body, err := io.ReadAll(req.Body.Reader())
		if err != nil {
			return nil, err
		}
		if req.Function.Name == "square" {
			var n int
			fmt.Sscan(string(body), &n)
			return &faas.Response{Body: faas.String(fmt.Sprint(n * n))}, nil
		}
		return &faas.Response{Body: faas.String(`"squares: ` + string(body) + `"`)}, nil
	})
	languages, err := workflow.NewLanguages(dag.Language())
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
	eng, err := engine.New(engine.Config{Functions: functions, Registry: registry, Languages: languages, Scheduler: fifo.New(nil), Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer eng.Close()
	if err := eng.Recover(ctx); err != nil {
		fmt.Println(err)
		return
	}
	d, err := registry.Register(ctx, workflow.Definition{Ref: faas.Ref{Name: "squares"}, Language: "dag", Source: `
tasks:
  square:
    call: square
    expand: {over: {from: input}}
    input: {from: item}
  report:
    call: report
    needs: [square]
    input: {from: tasks.square.output}
`})
	if err != nil {
		fmt.Println(err)
		return
	}
	ref, err := eng.Start(ctx, workflow.StartRequest{Workflow: d.Ref, Input: workflow.JSON(`[1, 2, 3]`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	x, err := eng.Wait(ctx, ref)
	if err != nil {
		fmt.Println(err)
		return
	}
	output, err := x.Output.Bytes(ctx)
	fmt.Println(x.Status, string(output), err)
	// Output: succeeded "squares: [1,4,9]" <nil>
}

// The same in Go: the text is made from the values, and every fault is found at once.
func ExampleSpec_Definition() {
	spec := dag.Spec{Tasks: map[string]dag.Task{
		"square": {Call: "square", Expand: &dag.Expand{Over: dag.From("input")}, Input: dag.From("item")},
		"report": {Call: "report", Needs: []string{"squares"}, Input: dag.From("tasks.square.output"), Rule: "whenever"},
	}}
	_, err := spec.Definition(faas.Ref{Name: "squares"})
	fmt.Println(err)
	// Output:
	// workflow registry: compile: invalid argument
	// 	tasks.report.input.from: "tasks.square.output": the task square does not come before report; add it to needs (line 10, column 17)
	// 	tasks.report.needs[0]: there is no task or group "squares" (line 6, column 9)
	// 	tasks.report.rule: there is no trigger rule "whenever" (line 8, column 15)
}

func ExampleParse() {
	spec, err := dag.Parse("tasks: {a: {call: f}, b: {needs: [a]}}")
	fmt.Println(len(spec.Tasks), spec.Tasks["b"].Needs, err)
	// Output: 2 [a] <nil>
}

func ExampleRules() {
	for _, rule := range dag.Rules() {
		if u := (dag.Upstream{Total: 3, Done: 2, Success: 1, Failed: 1}); rule.Passes(u) {
			fmt.Println(rule)
		}
	}
	// Output:
	// one_success
	// one_failed
	// one_done
	// always
}

func ExampleJoin() {
	spec := dag.Spec{Tasks: map[string]dag.Task{
		"greet": {Input: map[string]any{
			"text":  dag.Join("Hello ", dag.FromOr("input.name", "world"), "!"),
			"rules": dag.Literal(map[string]any{"from": "not a path"}),
			"whole": dag.From("input"),
		}},
	}}
	_, err := spec.Definition(faas.Ref{Name: "greet"})
	fmt.Println(err)
	// Output: <nil>
}
