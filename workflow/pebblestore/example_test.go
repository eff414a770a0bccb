package pebblestore_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/pebblestore"
)

func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "workflows")
	if err != nil {
		fmt.Println(err)
	}
	defer os.RemoveAll(dir)

	store, err := pebblestore.Open(pebblestore.Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	ref := workflow.ExecutionRef{Namespace: "default", ID: "order-17", Run: 1}
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	record := workflow.Execution{Ref: ref, Workflow: faas.Ref{Name: "order"}, Status: workflow.StatusRunning, Started: now}
	err = store.Append(ctx, &workflow.Batch{Execution: ref, Record: &record, Events: []workflow.Event{
		{Seq: 1, Time: now, Kind: workflow.ExecutionStarted, Payload: workflow.JSON(`{"item": "pen"}`)},
	}})
	fmt.Println(err)
	fmt.Println(store.Close())

	store, err = pebblestore.Open(pebblestore.Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	for r, err := range store.Recover(ctx) {
		fmt.Println(r.Record.Ref, r.Last, r.First.Kind, err)
	}
	// Output:
	// <nil>
	// <nil>
	// default/order-17#1 1 execution-started <nil>
}
