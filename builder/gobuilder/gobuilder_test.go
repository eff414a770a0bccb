package gobuilder_test

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/buildertest"
	"github.com/joinery/faas/builder/gobuilder"
	"github.com/joinery/faas/builder/internal/instance"
	"github.com/joinery/faas/internal/archive"
)

func source(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func newBuilder(tb testing.TB) *gobuilder.Builder {
	tb.Helper()
	b, err := gobuilder.New(nil)
	require.NoError(tb, err)
	return b
}

// build runs all three steps and returns where the code is.
func build(tb testing.TB, b builder.Builder, files map[string]string) (string, builder.Artifact, error) {
	tb.Helper()
	src := source(files)
	job := builder.Job{Source: tb.TempDir() + "/source", Output: tb.TempDir(), Temp: tb.TempDir(), Log: io.Discard}
	require.NoError(tb, archive.CopyFS(context.Background(), src, job.Source, archive.Limits{}))
	if err := b.Validate(tb.Context(), src); err != nil {
		return "", builder.Artifact{}, err
	}
	if err := b.Resolve(tb.Context(), job); err != nil {
		return "", builder.Artifact{}, err
	}
	a, err := b.Build(tb.Context(), job)
	return job.Output, a, err
}

func TestConformance(t *testing.T) { buildertest.Run(t, harness()) }

func BenchmarkBuilder(b *testing.B) { buildertest.Bench(b, harness()) }

func harness() buildertest.Harness {
	return buildertest.Harness{
		New: func(tb testing.TB) builder.Builder { return newBuilder(tb) },
		Other: func(tb testing.TB) builder.Builder {
			b, err := gobuilder.New(&gobuilder.Options{Env: map[string]string{"GOFLAGS": "-tags=fast"}})
			require.NoError(tb, err)
			return b
		},
		Good: source(map[string]string{
			"go.mod": "module example.com/hello\n\ngo 1.24\n", "hello.go": hello, "words/words.go": words,
			"hello_test.go": "package hello_test\n", "other_windows.go": "package hello\n\nvar x = broken\n",
		}),
		Start: func(tb testing.TB, dir string, a builder.Artifact) buildertest.Call {
			in := instance.Start(tb, dir, a)
			return func(ctx context.Context, request string) (string, error) {
				_, answer, err := in.Post(ctx, "text/plain", request)
				return answer, err
			}
		},
		Request: "Ada", Answer: "Hello, Ada!",
		Invalid: source(map[string]string{
			"a.go": "package a\n\nimport _ \"example.com/lib\"\n\nfunc Handler() {}\n", "b.go": "package b\n",
			"c.go": "package a\n\nfunc f( {\n", "vendor/modules.txt": "",
		}),
		Faults:     []string{"a.go:3:8", "example.com/lib", "no go.mod", "b.go", "package a", "c.go:3", "vendor", "another signature"},
		Broken:     source(map[string]string{"main.go": "package main\n\nfunc main() { undefinedThing() }\n"}),
		BrokenText: "main.go:3:15: undefined: undefinedThing",
		Missing: source(map[string]string{
			"go.mod":  "module example.com/hello\n\ngo 1.24\n\nrequire example.com/nowhere v1.2.3\n",
			"main.go": "package main\n\nimport \"example.com/nowhere\"\n\nfunc main() { nowhere.Go() }\n",
		}),
		MissingText: "example.com/nowhere",
	}
}

const hello = `package hello

import (
	"fmt"
	"io"
	web "net/http"

	"example.com/hello/words"
)

// Handler greets.
func Handler(w web.ResponseWriter, r *web.Request) {
	name, err := io.ReadAll(r.Body)
	if err != nil {
		web.Error(w, err.Error(), web.StatusBadRequest)
		return
	}
	fmt.Fprint(w, words.Greet(string(name)))
}
`

const words = `// Package words has words.
package words

// Greet greets.
func Greet(name string) string { return "Hello, " + name + "!" }
`

// A module in vendor is built without any network and without the module cache.
func TestVendoredModule(t *testing.T) {
	b, err := gobuilder.New(&gobuilder.Options{ModCache: t.TempDir()})
	require.NoError(t, err)
	files := map[string]string{
		"go.mod":                            "module example.com/hello\n\ngo 1.24\n\nrequire example.com/words v1.2.3\n",
		"go.sum":                            "",
		"hello.go":                          strings.ReplaceAll(hello, "example.com/hello/words", "example.com/words"),
		"vendor/modules.txt":                "# example.com/words v1.2.3\n## explicit; go 1.24\nexample.com/words\n",
		"vendor/example.com/words/words.go": words,
	}
	dir, a, err := build(t, b, files)
	require.NoError(t, err)
	assert.Equal(t, builder.Artifact{Contract: faas.ContractInherit, Command: []string{"./function"}}, a)
	_, answer, err := instance.Start(t, dir, a).Post(t.Context(), "text/plain", "Grace")
	require.NoError(t, err)
	assert.Equal(t, "Hello, Grace!", answer)

	files["vendor/modules.txt"] = "# example.com/words v1.2.4\n## explicit\nexample.com/words\n"
	_, _, err = build(t, b, files)
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	assert.ErrorContains(t, err, "inconsistent vendoring")
}

func TestProgram(t *testing.T) {
	dir, a, err := build(t, newBuilder(t), map[string]string{"main.go": `package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
`})
	require.NoError(t, err)
	assert.Equal(t, builder.Artifact{Contract: faas.ContractHTTP, Command: []string{"./function"}}, a)
	_, answer, err := instance.Start(t, dir, a).Post(t.Context(), "text/plain", "echo")
	require.NoError(t, err)
	assert.Equal(t, "echo", answer)

	f, err := elf.Open(filepath.Join(dir, "function"))
	if err != nil {
		t.Skipf("not an ELF binary: %v", err)
	}
	defer f.Close()
	libs, err := f.ImportedLibraries()
	require.NoError(t, err)
	assert.Empty(t, libs, "the binary is static")
	assert.Nil(t, f.Section(".interp"))
}

func TestReplacementsStayInside(t *testing.T) {
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "go.mod"), []byte("module example.com/words\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(outside, "words.go"), []byte(words), 0o600))
	files := map[string]string{"hello.go": strings.ReplaceAll(hello, "example.com/hello/words", "example.com/words")}
	for _, to := range []string{outside, "../" + filepath.Base(outside), "./inner/../../x"} {
		files["go.mod"] = "module example.com/hello\n\ngo 1.24\n\nrequire example.com/words v0.0.0\n\nreplace example.com/words => " + to + "\n"
		_, _, err := build(t, newBuilder(t), files)
		require.ErrorIs(t, err, faas.ErrInvalidArgument, to)
		assert.ErrorContains(t, err, "outside of the source")
	}
	files["go.mod"] = "module example.com/hello\n\ngo 1.24\n\nrequire example.com/words v0.0.0\n\nreplace example.com/words => ./inner\n"
	files["inner/go.mod"], files["inner/words.go"] = "module example.com/words\n\ngo 1.24\n", words
	_, _, err := build(t, newBuilder(t), files)
	require.NoError(t, err)
}

func TestTerminateDrains(t *testing.T) {
	dir, a, err := build(t, newBuilder(t), map[string]string{"slow.go": `package slow

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func Handler(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/deadline" {
		d, ok := r.Context().Deadline()
		fmt.Fprint(w, d.UnixMilli(), ok)
		return
	}
	fmt.Println("running")
	for {
		if _, err := os.Stat(r.URL.Query().Get("gate")); err == nil {
			fmt.Fprint(w, "done")
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
`})
	require.NoError(t, err)
	for _, contract := range []faas.Contract{faas.ContractInherit, faas.ContractSocket, faas.ContractHTTP} {
		t.Run(string(contract), func(t *testing.T) {
			a.Contract = contract
			in := instance.Start(t, dir, a)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://f/deadline", nil)
			require.NoError(t, err)
			req.Header.Set("X-Request-Deadline", "99999999999500")
			resp, err := in.Client.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, errors.Join(err, resp.Body.Close()))
			assert.Equal(t, "99999999999500 true", string(body), "the call's deadline is the function's")

			gate := filepath.Join(t.TempDir(), "gate")
			answered := make(chan string, 1)
			go func() {
				resp, err := in.Client.Get("http://f/?gate=" + url.QueryEscape(gate))
				if err != nil {
					answered <- err.Error()
					return
				}
				body, err := io.ReadAll(resp.Body)
				answered <- string(body) + fmt.Sprint(errors.Join(err, resp.Body.Close()))
			}()
			require.Eventually(t, func() bool { return strings.Contains(in.Output(), "running") }, 30*time.Second, time.Millisecond)
			require.NoError(t, in.Terminate())
			require.NoError(t, os.WriteFile(gate, nil, 0o600))
			assert.Equal(t, "done<nil>", <-answered)
			<-in.Exited()
			require.NoError(t, in.Err())
		})
	}
}

func TestFaults(t *testing.T) {
	const mod = "module example.com/hello\n\ngo 1.24\n"
	for name, c := range map[string]struct {
		files map[string]string
		part  string
	}{
		"nothing":          {map[string]string{"readme.md": ""}, "no Go file"},
		"only cgo":         {map[string]string{"a.go": "package a\n\nimport \"C\"\n"}, "without cgo"},
		"only tests":       {map[string]string{"a_test.go": "package a\n"}, "no Go file"},
		"no handler":       {map[string]string{"a.go": "package a\n"}, "has no func Handler"},
		"no main":          {map[string]string{"a.go": "package main\n"}, "no func main"},
		"method":           {map[string]string{"a.go": "package a\n\ntype T int\n\nfunc (T) Handler() {}\n"}, "has no func Handler"},
		"signature":        {map[string]string{"a.go": "package a\n\nimport \"net/http\"\n\nfunc Handler(w http.ResponseWriter, r http.Request) {}\n"}, "another signature"},
		"another http":     {map[string]string{"a.go": "package a\n\nimport \"my/http\"\n\nfunc Handler(w http.ResponseWriter, r *http.Request) {}\n"}, "another signature"},
		"our name":         {map[string]string{"a.go": "package main\n\nfunc main() {}\n", "joinery_function_main/x": ""}, "the builder uses itself"},
		"go.mod broken":    {map[string]string{"go.mod": "modul x\n", "a.go": "package main\n\nfunc main() {}\n"}, "go.mod:1"},
		"go.mod nameless":  {map[string]string{"go.mod": "go 1.24\n", "a.go": "package main\n\nfunc main() {}\n"}, "no module line"},
		"another Go":       {map[string]string{"go.mod": "module x\n\ngo 1.999\n", "a.go": "package main\n\nfunc main() {}\n"}, "1.999"},
		"embedded outside": {map[string]string{"go.mod": mod, "a.go": "package main\n\nimport _ \"embed\"\n\n//go:embed ../../etc/passwd\nvar x string\n\nfunc main() {}\n"}, "invalid pattern"},
	} {
		_, _, err := build(t, newBuilder(t), c.files)
		require.ErrorIs(t, err, faas.ErrInvalidArgument, name)
		assert.ErrorContains(t, err, c.part, name)
	}
}

func TestBuildTags(t *testing.T) {
	src := source(map[string]string{
		"a.go": "package a\n", "fast.go": "//go:build fast\n\npackage a\n\nimport \"net/http\"\n\nfunc Handler(http.ResponseWriter, *http.Request) {}\n",
	})
	require.ErrorIs(t, newBuilder(t).Validate(t.Context(), src), faas.ErrInvalidArgument)
	b, err := gobuilder.New(&gobuilder.Options{Env: map[string]string{"GOFLAGS": "-modcacherw -tags=slow,fast"}})
	require.NoError(t, err)
	require.NoError(t, b.Validate(t.Context(), src))
}

func TestOptions(t *testing.T) {
	_, err := gobuilder.New(&gobuilder.Options{Cache: "relative", ModCache: "relative", Env: map[string]string{"A=B": ""}})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, part := range []string{"Cache", "ModCache", "Env"} {
		assert.ErrorContains(t, err, part)
	}
	_, err = gobuilder.New(&gobuilder.Options{Go: "/does/not/exist/go"})
	require.ErrorIs(t, err, faas.ErrUnimplemented)
	assert.ErrorContains(t, err, "install Go")
	_, err = gobuilder.New(&gobuilder.Options{Go: "/bin/true"})
	require.ErrorIs(t, err, faas.ErrUnimplemented)
}
