package memcode_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/joinery/faas/registry/memcode"
)

func ExampleNew() {
	ctx := context.Background()
	code := memcode.New(&memcode.Options{MaxBytes: 64 << 20})
	defer code.Close()

	blob, err := code.Put(ctx, strings.NewReader("an archive"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(blob.Digest, blob.Size)
	r, err := code.Open(ctx, blob.Digest)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	fmt.Println(string(content), err)
	// Output:
	// sha256:9e691d5adacf0e102f203100842ffaba4e2a7dfe3dbd536827d3c0db8c7e88f1 10
	// an archive <nil>
}
