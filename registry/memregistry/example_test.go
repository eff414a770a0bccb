package memregistry_test

import (
	"context"
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/memregistry"
)

func ExampleNew() {
	ctx := context.Background()
	reg := memregistry.New(nil)
	defer reg.Close()

	hello := faas.Ref{Name: "hello"}
	for _, greeting := range []string{"hello", "good morning"} {
		spec := faas.Spec{Contract: faas.ContractHandler, Command: []string{greeting}}
		if _, err := reg.Publish(ctx, hello, spec, nil); err != nil {
			fmt.Println(err)
		}
	}
	live := faas.Ref{Name: "hello", Version: "live"}
	if _, err := reg.SetAlias(ctx, registry.Alias{Ref: live, Target: "1"}, nil); err != nil {
		fmt.Println(err)
	}

	latest, _ := reg.Get(ctx, hello)
	stable, _ := reg.Get(ctx, live)
	fmt.Println(latest.Ref, latest.Spec.Command)
	fmt.Println(stable.Ref, stable.Spec.Command)
	for event, err := range reg.Watch(ctx, 0) {
		fmt.Println(event.Revision, event.Kind, event.Ref, err)
		if event.Kind == registry.AliasSet {
			break
		}
	}
	// Output:
	// default/hello@2 [good morning]
	// default/hello@1 [hello]
	// 1 published default/hello@1 <nil>
	// 2 published default/hello@2 <nil>
	// 3 alias-set default/hello@live <nil>
}
