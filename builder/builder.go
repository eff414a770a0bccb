// Package builder is the contract of the function builder, F2 of the SPEC-RG
// reference architecture: it turns sources into deployable functions. The paper's
// building pattern is one code path, [Pipeline.Build]:
//
//	open → validate → resolve → build → package → store → register
//
// [Builder] is what differs between languages: validate, resolve, build. The pipeline does
// the rest: it opens the source safely into a private directory, packs what the builder made
// into a plain deterministic tar, stores that in the code store and publishes the function
// in the registry (F1). A source that was built before is recognised and changes nothing.
//
// Implementations of Builder are sub-packages: gobuilder and pybuilder; buildertest is the
// conformance kit. What they built becomes an OCI image with imagebuilder, where containers run it.
//
// # Snippet
//
//	gob, err := gobuilder.New(nil)
//	p, err := builder.NewPipeline(builder.PipelineConfig{
//		Builders: map[string]builder.Builder{"go": gob},
//		Code:     code, // where archives go, for instance a registry.CodeStore
//		Registry: reg,  // where functions are published, for instance a registry.Registry
//	})
//	res, err := p.Build(ctx, builder.Request{
//		Function: faas.Ref{Name: "hello"}, Language: "go", Source: builder.Dir("./hello"), Log: os.Stderr,
//	})
//
// # Errors
//
// A fault of the source (a hostile archive, a missing file, a compile error) is
// ErrInvalidArgument, with the tool's own words; a missing tool or language is
// ErrUnimplemented; a build that ran out of time is ErrTimeout.
//
// # Concurrency
//
// All methods are safe for concurrent use. Nothing here starts a goroutine that outlives its call.
package builder

import (
	"context"
	"io"
	"io/fs"

	"github.com/joinery/faas"
)

// Builder builds the functions of one language.
type Builder interface {
	// Validate checks a source without running anything of it: does it have what this
	// builder needs. Every fault at once, as ErrInvalidArgument naming file and rule.
	Validate(ctx context.Context, src fs.FS) error
	// Resolve makes the dependencies available to Build: the only step that may use the
	// network, as far as the builder's options allow. Errors: ErrInvalidArgument (a dependency is
	// not pinned, not vendored, not found), and those of Build.
	Resolve(ctx context.Context, job Job) error
	// Build compiles job.Source into job.Output and says how to run it. Errors:
	// ErrInvalidArgument (the source does not build: with what the tool said), ErrUnimplemented (a
	// tool it needs is not installed: the error says which), ErrTimeout, ErrCanceled.
	Build(ctx context.Context, job Job) (Artifact, error)
	// Fingerprint names everything besides the source that decides the result: the versions of
	// builder and tools, and its options. Equal source and fingerprint mean an equal artifact.
	Fingerprint(ctx context.Context) (string, error)
}

// Job is one build. Resolve and then Build are called with the same job, one after the other. They
// write only below its directories, which are deleted afterwards; when either returns, nothing it
// started runs any more.
type Job struct {
	// Source is a private copy of the source; the builder may change it.
	Source string
	// Output is an empty directory: what Build leaves there is the function's code, all of it.
	Output string
	// Temp is an empty directory for anything else.
	Temp string
	// Log receives what the tools say, as it comes. Never nil.
	Log io.Writer
}

// Artifact says how to run what a build left in the output directory.
type Artifact struct {
	// Contract is how to talk to it.
	Contract faas.Contract
	// Command's first element may begin with "./": relative to the output directory.
	Command []string
	// Env is the environment it needs; nil if none.
	Env map[string]string
}
