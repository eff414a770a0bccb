package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/dag"
	"github.com/joinery/faas/workflow/durable"
)

// MapLanguages are those that Ours.Map knows.
func MapLanguages() []string { return []string{"dag", durable.Name} }

// mapDefinition maps the function over the items, in the language.
func mapDefinition(language string) (*workflow.Definition, error) {
	if language == durable.Name {
		d := codeMap.Definition()
		return &d, nil
	}
	source, err := json.Marshal(dag.Spec{Tasks: map[string]dag.Task{"map": {
		Call: function.Name, Expand: &dag.Expand{Over: dag.From("input"), Concurrency: mapWidth}, Input: dag.From("item"),
	}}})
	return &workflow.Definition{Ref: faas.Ref{Name: "map"}, Language: language, Source: string(source)}, err
}

// Map runs a durable execution that maps the function over so many items and checks the result.
func (o *Ours) Map(ctx context.Context, language string, items int) error {
	d, err := mapDefinition(language)
	if err != nil {
		return err
	}
	input, sum := number(items), 0
	if language != durable.Name {
		list := make([]int, items)
		for i := range list {
			list[i] = i
		}
		if input, err = workflow.MarshalPayload(list); err != nil {
			return err
		}
	}
	ref, err := o.Engine.Start(ctx, workflow.StartRequest{Definition: d, Input: input})
	if err != nil {
		return err
	}
	x, err := o.Engine.Wait(ctx, ref)
	if err != nil {
		return err
	}
	if x.Status != workflow.StatusSucceeded {
		return fmt.Errorf("%s %s: %w", x.Ref, x.Status, x.Failure)
	}
	if language == durable.Name {
		err = x.Output.Unmarshal(ctx, &sum)
	} else {
		var out []int
		err = x.Output.Unmarshal(ctx, &out)
		for _, v := range out {
			sum += v
		}
	}
	if want := items * (items + 1) / 2; err == nil && sum != want {
		err = fmt.Errorf("the map of %d items gave %d, not %d", items, sum, want)
	}
	return err
}

// Fill puts open executions into a store below the directory, as an engine would have left them: each has called
// the function for so many items and waits for a signal. It does not take the engine's time to get there.
func Fill(dir string, executions, items int) (err error) {
	store, err := openStore(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	var begun atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, 256)
	for i := range errs {
		wg.Go(func() {
			for n := begun.Add(1); n <= int64(executions) && errs[i] == nil; n = begun.Add(1) {
				errs[i] = fillOne(store, int(n), items)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// fillOne appends one execution: its start, and then outcomes in batches of ten.
func fillOne(store workflow.Store, n, items int) error {
	d := codeWaiting.Definition()
	d.Ref = d.Ref.WithDefaults()
	ref := workflow.ExecutionRef{ID: waiting(n), Run: 1}.WithDefaults()
	now := time.Now().UTC()
	record := &workflow.Execution{Ref: ref, Workflow: d.Ref, Language: d.Language, Status: workflow.StatusRunning, Started: now, Logs: 1}
	events := []workflow.Event{{Seq: 1, Time: now, Kind: workflow.ExecutionStarted, Payload: number(items), Start: &workflow.Start{
		Execution: ref, Definition: d, Seed: uint64(n), Secret: make([]byte, 16),
	}}}
	for i := range items {
		step := function.Name
		if i > 0 {
			step += "#" + strconv.Itoa(i+1)
		}
		events = append(events, workflow.Event{Seq: uint64(i + 2), Time: now, Kind: workflow.StepSucceeded, Step: step, Node: function.Name,
			Name: function.String(), Attempt: 1, Began: now, Payload: number(i + 1)})
	}
	first := &workflow.Batch{Execution: ref, Events: events[:1], Record: record}
	if err := store.Append(context.Background(), first); err != nil {
		return err
	}
	for chunk := range slices.Chunk(events[1:], 10) {
		if err := store.Append(context.Background(), &workflow.Batch{Execution: ref, After: chunk[0].Seq - 1, Events: chunk}); err != nil {
			return err
		}
	}
	return nil
}

func waiting(n int) string { return fmt.Sprintf("waiting-%d", n) }

// GoOn counts the executions that wait and ends one of them, the nth.
func (o *Ours) GoOn(ctx context.Context, n int) (open int, err error) {
	q := workflow.ExecutionQuery{Statuses: []workflow.Status{workflow.StatusRunning}, Limit: workflow.MaxPage}
	for {
		page, err := o.Engine.List(ctx, q)
		if err != nil {
			return 0, err
		}
		open += len(page.Executions)
		if q.Token = page.Next; q.Token == "" {
			break
		}
	}
	ref := workflow.ExecutionRef{ID: waiting(n)}
	if err := o.Engine.Signal(ctx, ref, goOn, number(7)); err != nil {
		return open, err
	}
	x, err := o.Engine.Wait(ctx, ref)
	if data, _ := x.Output.InHand(); err == nil && (x.Status != workflow.StatusSucceeded || string(data) != "7") {
		err = fmt.Errorf("%s %s with %q: %v", x.Ref, x.Status, data, x.Failure)
	}
	return open, err
}

// History runs an express execution of so many steps in sequence.
func (o *Ours) History(ctx context.Context, language string, steps int) error {
	t := Tree{Name: "history", Steps: steps}
	d := code(t).Definition()
	if language == languageName {
		source, err := json.Marshal(t)
		if err != nil {
			return err
		}
		d = workflow.Definition{Ref: faas.Ref{Name: t.Name}, Language: language, Source: string(source)}
	}
	d.Durability = workflow.Express
	ref, err := o.Engine.Start(ctx, workflow.StartRequest{Definition: &d, Input: number(steps)})
	if err != nil {
		return err
	}
	x, err := o.Engine.Wait(ctx, ref)
	if err == nil && x.Status != workflow.StatusSucceeded {
		err = fmt.Errorf("%s %s: %w", x.Ref, x.Status, x.Failure)
	}
	return err
}

// HistoryLanguages are those that Ours.History knows: one whose state can be saved, and one whose log is its state.
func HistoryLanguages() []string { return []string{languageName, durable.Name} }
