package boltregistry_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry/boltregistry"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "registry")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "functions.db")
	ctx, hello := context.Background(), faas.Ref{Name: "hello"}

	reg, err := boltregistry.Open(path, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	spec := faas.Spec{Contract: faas.ContractHandler, Command: []string{"hello"}}
	if _, err := reg.Publish(ctx, hello, spec, nil); err != nil {
		fmt.Println(err)
	}
	reg.Close()

	reg, err = boltregistry.Open(path, nil) // in another process, after a crash, a year later
	if err != nil {
		fmt.Println(err)
		return
	}
	defer reg.Close()
	fn, err := reg.Get(ctx, hello)
	fmt.Println(fn.Ref, err)
	// Output: default/hello@1 <nil>
}
