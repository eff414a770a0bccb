package builder_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log"
	"testing/fstest"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/gobuilder"
	"github.com/joinery/faas/registry/memcode"
	"github.com/joinery/faas/registry/memregistry"
)

// greeter is the source of a Go function; a directory or an archive does as well.
var greeter fs.FS = fstest.MapFS{"hello.go": {Data: []byte(`package hello

import (
	"io"
	"net/http"
)

func Handler(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello\n") }
`)}}

func ExampleNewPipeline() {
	golang, err := gobuilder.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	code, reg := memcode.New(nil), memregistry.New(nil)
	defer code.Close()
	defer reg.Close()
	p, err := builder.NewPipeline(builder.PipelineConfig{
		Builders: map[string]builder.Builder{"go": golang}, Code: code, Registry: reg,
	})
	if err != nil {
		log.Fatal(err)
	}
	req := builder.Request{
		Function: faas.Ref{Name: "hello"}, Language: "go", Source: builder.FS(greeter),
		Spec: faas.Spec{Concurrency: 8},
	}
	for range 2 {
		res, err := p.Build(context.Background(), req)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(res.Function.Ref, res.Function.Spec.Contract, res.Function.Spec.Command, "unchanged:", res.Unchanged)
		for _, s := range res.Steps {
			fmt.Println(" ", s.Step)
		}
	}
	// Output:
	// default/hello@1 http-inherit [./function] unchanged: false
	//   open
	//   validate
	//   resolve
	//   build
	//   package
	//   store
	//   register
	// default/hello@1 http-inherit [./function] unchanged: true
	//   open
}

func ExampleSource() {
	junk := []byte("PK\x03\x04 and not much more")
	for _, src := range []builder.Source{
		builder.Dir("testdata/no-such-directory"),
		builder.FS(fstest.MapFS{"a.txt": {}, "A.txt": {}}),
		builder.Zip(bytes.NewReader(junk), int64(len(junk))),
		builder.TarGz(bytes.NewReader(junk)),
	} {
		p, err := builder.NewPipeline(builder.PipelineConfig{
			Builders: map[string]builder.Builder{"copy": &copying{}}, Code: memcode.New(nil), Registry: memregistry.New(nil),
		})
		if err != nil {
			log.Fatal(err)
		}
		_, err = p.Build(context.Background(), builder.Request{Function: faas.Ref{Name: "hello"}, Language: "copy", Source: src})
		fmt.Println(faas.Class(err))
	}
	// Output:
	// invalid argument
	// invalid argument
	// invalid argument
	// invalid argument
}
