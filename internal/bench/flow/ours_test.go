package flow

import (
	"context"
	"testing"

	"github.com/joinery/faas/workflow"
)

func TestOursRunsTheTrees(t *testing.T) {
	o, err := OpenOurs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, tree := range Trees() {
		for name, e := range map[string]Engine{
			"standard": o.Standard(), "express": o.Express(), "bare standard": o.Bare(workflow.Standard), "bare express": o.Bare(workflow.Express),
		} {
			got, err := e.Run(context.Background(), tree)
			if err != nil || got != tree.Want() {
				t.Errorf("%s %s: %d, %v", name, tree.Name, got, err)
			}
		}
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}
