// Package builder is the contract of the function builder, F2 of the SPEC-RG
// reference architecture: it turns sources into deployable functions. The paper's
// building pattern (source, validate, build, store, register) is [Pipeline].
//
// Implementations of the building itself are sub-packages: gobuilder and pybuilder;
// buildertest is the conformance kit.
//
// # Snippet
//
//	p, err := builder.NewPipeline(builder.PipelineConfig{
//		Builders: map[string]builder.Builder{"go": gobuilder.New(nil)},
//		Code:     code, // where archives go, for instance a registry.CodeStore
//		Registry: reg,  // where functions are published
//	})
//	res, err := p.Build(ctx, builder.Request{
//		Function: faas.Ref{Name: "hello"}, Language: "go", Source: builder.Dir("./hello"),
//	})
//
// # Errors
//
// A fault of the source (a hostile archive, a missing file, a compile error) is
// ErrInvalidArgument, with the builder's own words; a build that ran out of time is ErrTimeout.
//
// # Concurrency
//
// All methods are safe for concurrent use.
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
	// Build works in the directory job.Dir, which holds a private copy of the source that it may
	// change, and returns what to package. It writes the tools' output to job.Log. Errors:
	// ErrInvalidArgument (the source does not build), ErrUnimplemented (a tool it needs is
	// not installed: the error says which), ErrTimeout, ErrCanceled. When it returns, nothing it started runs any more.
	Build(ctx context.Context, job Job) (Artifact, error)
	// Fingerprint names everything besides the source that decides the result: the versions of
	// builder and tools, and its options. Equal source and fingerprint mean an equal artifact.
	Fingerprint(ctx context.Context) (string, error)
}

// Job is one build.
type Job struct {
	// Dir is the private copy of the source; the builder may write there. It is deleted after the build.
	Dir string
	// Log receives the build log as it comes. Never nil.
	Log io.Writer
}

// Artifact is what a build made: a tree of files and how to run them.
type Artifact struct {
	// Dir holds the files to package, all of them, below the job's directory.
	Dir string
	// Contract, Command and Env of the function. Command's "./" is relative to Dir.
	Contract faas.Contract
	Command  []string
	Env      map[string]string
}
