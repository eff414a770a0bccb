package dirdefinitions_test

import (
	"context"
	"fmt"
	"os"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/dirdefinitions"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "workflows")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	languages, err := workflow.NewLanguages(text{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, source := range []string{"first", "second"} {
		registry, err := dirdefinitions.Open(dir, languages, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		d, err := registry.Register(ctx, workflow.Definition{Ref: faas.Ref{Name: "report"}, Language: "text", Source: source})
		fmt.Println(d.Ref, err, registry.Close())
	}
	// Output:
	// default/report@1 <nil> <nil>
	// default/report@2 <nil> <nil>
}
