package dircode_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/joinery/faas/registry/dircode"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "code")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	code, err := dircode.Open(dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer code.Close()
	for range 2 { // the same content is kept once
		if _, err := code.Put(ctx, strings.NewReader("an archive")); err != nil {
			fmt.Println(err)
		}
	}
	for blob, err := range code.List(ctx) {
		fmt.Println(blob.Digest, blob.Size, err)
	}
	// Output: sha256:9e691d5adacf0e102f203100842ffaba4e2a7dfe3dbd536827d3c0db8c7e88f1 10 <nil>
}
