package imagebuilder_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder/imagebuilder"
	"github.com/joinery/faas/registry/memcode"
)

func ExampleNew() {
	ctx := context.Background()
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)))) // any OCI registry
	defer srv.Close()
	code := memcode.New(nil)
	defer code.Close()
	var archive bytes.Buffer // what a builder.Pipeline stores
	w := tar.NewWriter(&archive)
	_ = w.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755})
	_ = w.Close()
	blob, _ := code.Put(ctx, &archive)

	images, err := imagebuilder.New(imagebuilder.Config{Code: code,
		Target: imagebuilder.Registry{Repository: strings.TrimPrefix(srv.URL, "http://") + "/functions"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	spec, err := images.Image(ctx, faas.Function{Ref: faas.Ref{Name: "hello"},
		Spec: faas.Spec{Contract: faas.ContractSocket, Code: blob.Digest, Command: []string{"./hello"}}})
	_, image, _ := strings.Cut(spec.Image, "/")
	fmt.Println(image[:len("functions/default/hello@sha256:")], err)
	// Output: functions/default/hello@sha256: <nil>
}
