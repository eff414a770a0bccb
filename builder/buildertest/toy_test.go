package buildertest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/internal/tool"
)

// toy is a correct builder of a toy language: a function is the file "answer", which a real
// tool, the shell, copies. Its calls answer with the content.
type toy struct{ option string }

func (y toy) Validate(ctx context.Context, src fs.FS) error {
	if ctx.Err() != nil {
		return faas.ContextError(ctx, "toy", "validate", "")
	}
	var errs []error
	for _, name := range []string{"answer", "license"} {
		if _, err := fs.Stat(src, name); err != nil {
			errs = append(errs, faas.Errorf("toy", "validate", name, faas.ErrInvalidArgument, "is missing"))
		}
	}
	return errors.Join(errs...)
}

func (y toy) Resolve(_ context.Context, job builder.Job) error {
	if lib, err := os.ReadFile(filepath.Join(job.Source, "needs")); err == nil {
		return faas.Errorf("toy", "resolve", "needs", faas.ErrInvalidArgument, "%s is nowhere", lib)
	}
	return nil
}

// shell runs a script the way a real builder runs its tools.
func shell(ctx context.Context, job builder.Job, script string) error {
	c := &tool.Cmd{Op: "build", Path: "/bin/sh", Args: []string{"-c", script}, Dir: job.Source, Log: job.Log,
		Env: []string{"PATH=/usr/bin:/bin", "OUT=" + job.Output, "HOME=" + job.Temp}}
	return c.Run(ctx)
}

const copyScript = `if grep -q broken answer; then echo "syntax error" >&2; exit 1; fi; sleep 0.02; cp answer "$OUT"/function`

func (y toy) Build(ctx context.Context, job builder.Job) (builder.Artifact, error) {
	return toyArtifact, shell(ctx, job, copyScript)
}

var toyArtifact = builder.Artifact{Contract: faas.ContractStdio, Command: []string{"./function"}}

func (y toy) Fingerprint(context.Context) (string, error) { return "toy 1 " + y.option, nil }

// override replaces methods of a correct builder.
type override struct {
	toy
	validate    func(ctx context.Context, src fs.FS) error
	resolve     func(ctx context.Context, job builder.Job) error
	build       func(ctx context.Context, job builder.Job) (builder.Artifact, error)
	fingerprint func() string
}

func (o *override) Validate(ctx context.Context, src fs.FS) error {
	if o.validate != nil {
		return o.validate(ctx, src)
	}
	return o.toy.Validate(ctx, src)
}

func (o *override) Resolve(ctx context.Context, job builder.Job) error {
	if o.resolve != nil {
		return o.resolve(ctx, job)
	}
	return o.toy.Resolve(ctx, job)
}

func (o *override) Build(ctx context.Context, job builder.Job) (builder.Artifact, error) {
	if o.build != nil {
		return o.build(ctx, job)
	}
	return o.toy.Build(ctx, job)
}

func (o *override) Fingerprint(ctx context.Context) (string, error) {
	if o.fingerprint != nil {
		return o.fingerprint(), nil
	}
	return o.toy.Fingerprint(ctx)
}

func toySource(files ...string) fs.FS {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return m
}

func toyHarness(newBuilder func() builder.Builder) Harness {
	return Harness{
		New:   func(testing.TB) builder.Builder { return newBuilder() },
		Other: func(testing.TB) builder.Builder { return toy{option: "other"} },
		Good:  toySource("answer", "42", "license", "x"),
		Start: func(_ testing.TB, dir string, _ builder.Artifact) Call {
			return func(_ context.Context, request string) (string, error) {
				content, err := os.ReadFile(filepath.Join(dir, "function"))
				return fmt.Sprintf("%s %s", request, strings.TrimSpace(string(content))), err
			}
		},
		Request: "what?", Answer: "what? 42",
		Invalid: toySource("other", ""), Faults: []string{"answer", "license"},
		Broken: toySource("answer", "broken", "license", "x"), BrokenText: "syntax error",
		Missing: toySource("answer", "42", "license", "x", "needs", "libtoy"), MissingText: "libtoy",
	}
}

func TestKitPassesACorrectBuilder(t *testing.T) {
	Run(t, toyHarness(func() builder.Builder { return toy{} }))
}
