package memstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/memstore"
)

func ExampleNew() {
	ctx := context.Background()
	store := memstore.New(nil)
	defer store.Close()

	ref := workflow.ExecutionRef{Namespace: "default", ID: "order-17", Run: 1}
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	record := workflow.Execution{Ref: ref, Workflow: faas.Ref{Name: "order"}, Status: workflow.StatusRunning, Started: now}
	err := store.Append(ctx, &workflow.Batch{Execution: ref, Record: &record, Events: []workflow.Event{
		{Seq: 1, Time: now, Kind: workflow.ExecutionStarted, Payload: workflow.JSON(`{"item": "pen"}`)},
	}})
	fmt.Println(err)
	err = store.Append(ctx, &workflow.Batch{Execution: ref, After: 1, Events: []workflow.Event{
		{Seq: 2, Time: now.Add(time.Second), Kind: workflow.StepSucceeded, Step: "pack"},
	}})
	fmt.Println(err)

	events, err := store.Read(ctx, ref, 1, 0)
	for _, e := range events {
		fmt.Println(e.Seq, e.Kind)
	}
	fmt.Println(err)
	// Output:
	// <nil>
	// <nil>
	// 1 execution-started
	// 2 step-succeeded
	// <nil>
}
