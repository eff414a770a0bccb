package memdefinitions_test

import (
	"context"
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/memdefinitions"
)

// text is a language for which every definition is valid.
type text struct{}

func (text) Name() string                                           { return "text" }
func (text) Compile(*workflow.Definition) (workflow.Program, error) { return nil, nil }

func ExampleNew() {
	languages, err := workflow.NewLanguages(text{})
	if err != nil {
		fmt.Println(err)
		return
	}
	registry, err := memdefinitions.New(languages)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer registry.Close()
	ctx := context.Background()
	for _, source := range []string{"one", "two", "two"} {
		d, err := registry.Register(ctx, workflow.Definition{Ref: faas.Ref{Name: "count"}, Language: "text", Source: source})
		fmt.Println(d.Ref, err)
	}
	// Output:
	// default/count@1 <nil>
	// default/count@2 <nil>
	// default/count@2 <nil>
}
