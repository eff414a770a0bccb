package memnaming_test

import (
	"context"
	"fmt"
	"time"

	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/memnaming"
)

// A node announces itself under a lease; whoever watches sees it come and, when
// the lease ends, go.
func ExampleNew() {
	ctx := context.Background()
	names := memnaming.New(nil)
	defer names.Close()

	lease, _ := names.Grant(ctx, 10*time.Second)
	_, _ = names.Put(ctx, "nodes/n1", []byte("here"), &orchestrator.PutOptions{Lease: lease})
	_ = names.Revoke(ctx, lease)

	for event, err := range names.Watch(ctx, "nodes/", 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.Entry.Revision, event.Entry.Name, string(event.Entry.Value), "deleted:", event.Deleted)
		if event.Deleted {
			break
		}
	}
	// Output:
	// 1 nodes/n1 here deleted: false
	// 2 nodes/n1  deleted: true
}
