package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/router"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/dag"
	"github.com/joinery/faas/workflow/durable"
	"github.com/joinery/faas/workflow/history"
)

// The demo's workflows in Go code. workflows/texts.yaml says the first one as a DAG.

var (
	textsCode      = durable.Workflow("texts-in-go", "1", texts)
	thumbnailsCode = durable.Workflow("thumbnails", "1", thumbnails)
)

// texts splits a directory of texts, counts the words of the pieces in parallel, merges
// the counts and reports.
func texts(ctx durable.Context, in splitInput) (string, error) {
	pieces, err := durable.Call[[]string](ctx, faas.Ref{Name: "split"}, in, nil).Get()
	if err != nil {
		return "", err
	}
	counted, err := durable.Map(ctx, pieces, 8, func(ctx durable.Context, _ int, piece string) (counts, error) {
		return durable.Call[counts](ctx, faas.Ref{Name: "count"}, piece, nil).Get()
	})
	if err != nil {
		return "", err
	}
	merged, err := durable.Call[summary](ctx, faas.Ref{Name: "merge"}, counted, nil).Get()
	if err != nil {
		return "", err
	}
	return durable.Call[string](ctx, faas.Ref{Name: "report"}, merged, nil).Get()
}

// thumbnail makes one picture small.
var thumbnail = durable.CallOptions{Name: "thumbnail", StepOptions: workflow.StepOptions{
	Query: "width=64",
	Retry: workflow.Retry{{Failures: []string{workflow.AnyFailure}, Max: 1}},
}}

// thumbnails makes pictures small in parallel, each with a retry, and goes on without
// those that are none.
func thumbnails(ctx durable.Context, pictures map[string][]byte) (made map[string][]byte, err error) {
	type result = durable.Future[[]byte]
	names := slices.Sorted(maps.Keys(pictures))
	small := make([]result, len(names))
	for i, name := range names {
		picture := workflow.Bytes("image/png", pictures[name])
		small[i] = durable.Call[[]byte](ctx, faas.Ref{Name: "resize"}, picture, &thumbnail)
	}
	made = map[string][]byte{}
	for i, name := range names {
		var failure *workflow.Failure
		switch picture, err := small[i].Get(); {
		case errors.As(err, &failure):
			ctx.Annotate(fmt.Sprintf("left out %s: %s", name, strings.TrimSpace(failure.Cause)), nil)
		case err != nil:
			return nil, err
		default:
			made[name] = picture
		}
	}
	return made, nil
}

// prewarmer starts the instances that the workflow scheduler expects to be needed.
type prewarmer struct {
	functions registry.Registry
	route     router.Router
}

func (p prewarmer) Prewarm(ctx context.Context, want workflow.Prewarm) error {
	fn, err := p.functions.Get(ctx, want.Function)
	if err != nil {
		return err
	}
	for load := range p.route.Loads() {
		if load.Function.Ref == fn.Ref && load.Ready+load.Starting > 0 {
			return nil
		}
	}
	return p.route.Scale(ctx, fn.Ref, 1, want.Why)
}

// runWorkflows registers the workflows and runs them: the first as a DAG and as Go
// code, with the same result.
func (d *demo) runWorkflows(ctx context.Context) error {
	yaml, err := files.ReadFile("workflows/texts.yaml")
	if err != nil {
		return err
	}
	for _, def := range []workflow.Definition{
		{Ref: faas.Ref{Name: "texts"}, Language: dag.Language().Name(), Source: string(yaml)},
		textsCode.Definition(),
		thumbnailsCode.Definition(),
	} {
		if _, err := d.definitions.Register(ctx, def); err != nil {
			return err
		}
	}

	fmt.Println("\nWorkflows")
	var reports []string
	for _, name := range []string{"texts", "texts-in-go"} {
		var report string
		run, err := d.execute(ctx, name, splitInput{Directory: "texts"}, &report)
		if err != nil {
			return err
		}
		reports = append(reports, report)
		if err := d.draw(ctx, name, run); err != nil {
			return err
		}
	}
	fmt.Printf("  %s\n", reports[0])
	if reports[0] != reports[1] || !strings.Contains(reports[0], "the (") {
		return fmt.Errorf("the DAG reports %q, the Go code %q", reports[0], reports[1])
	}

	pictures := map[string][]byte{"broken.png": []byte("this is no picture")}
	for _, name := range []string{"astronaut.png", "chelsea.png", "coffee.png"} {
		if pictures[name], err = files.ReadFile("testdata/" + name); err != nil {
			return err
		}
	}
	var small map[string][]byte
	if _, err := d.execute(ctx, "thumbnails", pictures, &small); err != nil {
		return err
	}
	if len(small) != 3 {
		return fmt.Errorf("%d thumbnails, want 3 and none of the file that is no picture", len(small))
	}
	for name, picture := range small {
		if c, err := png.DecodeConfig(bytes.NewReader(picture)); err != nil || c.Width != 64 {
			return fmt.Errorf("thumbnail of %s: %d pixels wide, %w", name, c.Width, err)
		}
	}
	return nil
}

// execute runs a workflow to its end, prints what became of it, and returns what its log says.
func (d *demo) execute(ctx context.Context, name string, in, out any) (*history.Run, error) {
	input, err := workflow.MarshalPayload(in)
	if err != nil {
		return nil, err
	}
	ref, err := d.flows.Start(ctx, workflow.StartRequest{Workflow: faas.Ref{Name: name}, Input: input})
	if err != nil {
		return nil, err
	}
	x, err := d.flows.Wait(ctx, ref)
	if err != nil {
		return nil, err
	}
	if x.Status != workflow.StatusSucceeded {
		return nil, fmt.Errorf("workflow %s: %s: %w", name, x.Status, x.Failure)
	}
	log, err := history.Events(ctx, d.flows, ref)
	if err != nil {
		return nil, err
	}
	run := history.Summarize(log)
	fmt.Printf("  %-12s %s, %d steps in %v", name, x.Status, len(log)-2, run.Ended.Sub(run.Started).Round(time.Millisecond))
	if x.Note != "" {
		fmt.Printf(" (%s)", x.Note)
	}
	fmt.Println()
	return run, x.Output.Unmarshal(ctx, out)
}

// draw writes the graph of an execution as an SVG image: that of its definition if it has
// one, else that of what happened.
func (d *demo) draw(ctx context.Context, name string, run *history.Run) error {
	def, err := d.definitions.Get(ctx, faas.Ref{Name: name})
	if err != nil {
		return err
	}
	program, err := d.languages.Compile(&def)
	if err != nil {
		return err
	}
	var graph *workflow.Graph
	if g, ok := program.(workflow.Grapher); ok {
		graph = g.Graph()
	} else {
		graph = run.Graph()
	}
	file, err := os.Create(filepath.Join(d.out, "joinery-"+name+".svg"))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := history.SVG(file, graph, run); err != nil {
		return err
	}
	fmt.Printf("  %-12s drawn in %s\n", "", file.Name())
	return file.Close()
}
