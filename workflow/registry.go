package workflow

import (
	"context"
	"io"

	"github.com/joinery/faas"
)

// Registry is the workflow registry (W1): immutable numbered versions of definitions,
// each validated and compiled before it is admitted. After Close every method but Close
// returns ErrClosed.
type Registry interface {
	// Register admits the next version of d.Ref, numbered from 1; a number is never used again.
	// d.Ref.Version must be empty. If the latest version has the same Digest that one is returned
	// instead. It returns once the version is kept as strictly as the registry promises.
	// Errors: ErrInvalidArgument (every fault; Diagnostics for those of the source), ErrUnimplemented (the
	// language is not known), ErrNotFound (code that the source names is not in this process).
	Register(ctx context.Context, d Definition) (Definition, error)
	// Get resolves ref: a version number, or empty for the latest. Errors: ErrNotFound,
	// ErrInvalidArgument.
	Get(ctx context.Context, ref faas.Ref) (Definition, error)
	// List returns definitions in the order of namespace, name and version number. Errors: ErrInvalidArgument.
	List(ctx context.Context, q DefinitionQuery) (DefinitionPage, error)
	// Delete removes one version, or with ref.Version empty all of them. Executions under way
	// go on: each holds its definition. Errors: ErrNotFound, ErrInvalidArgument.
	Delete(ctx context.Context, ref faas.Ref) error
	// Close frees everything. Twice is nil.
	io.Closer
}

// DefinitionQuery chooses what Registry.List returns.
type DefinitionQuery struct {
	// Namespace and Name restrict the list when not empty.
	Namespace, Name string
	// AllVersions lists every version; otherwise only the latest of each workflow.
	AllVersions bool
	// Limit is the size of a page, 1 to MaxPage. Zero: DefaultPage.
	Limit int
	// Token continues after a page, from its Next.
	Token string
}

// DefinitionPage is one part of a list.
type DefinitionPage struct {
	Definitions []Definition
	// Next is the token of the next page; empty at the end.
	Next string
}

// Page sizes of lists.
const (
	DefaultPage = 100
	MaxPage     = 1000
)
