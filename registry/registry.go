// Package registry is the contract of the function registry, F1 of the SPEC-RG
// reference architecture: a repository of functions, split as the paper describes into
// a function metadata store for low-latency look-ups ([Registry]) and a function
// store for the code itself ([CodeStore]).
//
// Implementations are sub-packages: memregistry and boltregistry for metadata,
// memcode and dircode for code; registrytest is the conformance kit.
//
// # Snippet
//
//	reg := memregistry.New(nil)
//	fn, err := reg.Publish(ctx, faas.Ref{Name: "hello"}, spec, nil) // hello@1
//	fn, err = reg.Get(ctx, faas.Ref{Name: "hello"})                 // the latest version
//
// # Errors
//
// The classes of package faas; each method says which.
//
// # Concurrency
//
// All methods are safe for concurrent use. Reads see all writes that returned before.
package registry

import (
	"context"
	"io"
	"iter"

	"github.com/joinery/faas"
)

// Registry keeps function metadata: immutable numbered versions of functions, and
// aliases that point to them. Every change gets a revision of its own, the next one of
// the registry. A write whose ctx had ended before it changes nothing and returns
// ErrCanceled or ErrTimeout. After Close every method but Close returns ErrClosed.
type Registry interface {
	Functions
	Aliases
	// Close frees everything; what a durable registry acknowledged is on disk before. Twice is nil.
	io.Closer
}

// Functions is the versions half of a Registry.
type Functions interface {
	// Publish adds the next version of ref's function: versions are numbered from 1 and a
	// number is never used again, also not after a deletion. ref.Version must be empty;
	// an empty namespace is the default one. spec is validated and copied. Errors:
	// ErrInvalidArgument (every fault of ref and spec), ErrConflict (o.IfRevision).
	Publish(ctx context.Context, ref faas.Ref, spec faas.Spec, o *PublishOptions) (faas.Function, error)
	// Get resolves ref (a version number, an alias, or empty for the latest) to a function. Errors:
	// ErrNotFound, ErrInvalidArgument. The result's maps and slices must not be changed.
	Get(ctx context.Context, ref faas.Ref) (faas.Function, error)
	// List returns functions in the order of namespace, name and version number. A page token
	// stays valid while functions come and go: what exists all the time is listed
	// exactly once. Errors: ErrInvalidArgument (a name, the limit or the token).
	List(ctx context.Context, q Query) (Page, error)
	// Delete removes one version, or with ref.Version empty the function with all its versions and
	// aliases. Errors: ErrNotFound, ErrConflict (an alias points to the version;
	// o.IfRevision), ErrInvalidArgument (ref.Version is an alias: use DeleteAlias).
	Delete(ctx context.Context, ref faas.Ref, o *DeleteOptions) error
	// Watch yields every change after the given revision, in order and without gaps, and
	// blocks while there is none. It ends with one error: ErrCanceled or ErrTimeout (ctx),
	// ErrClosed, or ErrExhausted when the changes after that revision are no longer kept, or the
	// registry never reached it (List again, and watch from the page's Revision).
	Watch(ctx context.Context, after faas.Revision) iter.Seq2[Event, error]
}

// Aliases is the pointers half of a Registry.
type Aliases interface {
	// SetAlias makes the alias point to an existing version number and returns it. An alias is
	// valid by faas.ValidateName and not a number. Errors: ErrInvalidArgument, ErrNotFound
	// (no such version), ErrConflict (o.IfRevision).
	SetAlias(ctx context.Context, a Alias, o *AliasOptions) (Alias, error)
	// ListAliases returns the aliases of a function in the order of their names; none for an unknown
	// function. fn.Version is ignored. Errors: ErrInvalidArgument.
	ListAliases(ctx context.Context, fn faas.Ref) ([]Alias, error)
	// DeleteAlias removes the alias that ref.Version names. Errors: ErrNotFound, ErrInvalidArgument.
	DeleteAlias(ctx context.Context, ref faas.Ref) error
}

// PublishOptions of Functions.Publish; nil means none.
type PublishOptions struct {
	// IfRevision, when not nil, makes the publish conditional: the latest version of the
	// function must have this Revision; 0 means that the function must have no version.
	IfRevision *faas.Revision
}

// DeleteOptions of Functions.Delete; nil means none.
type DeleteOptions struct {
	// IfRevision, when not nil, must be the Revision of the version, or of the latest one when all are deleted.
	IfRevision *faas.Revision
}

// AliasOptions of Aliases.SetAlias; nil means none.
type AliasOptions struct {
	// IfRevision, when not nil, must be the alias's Revision; 0 means that it must not exist.
	IfRevision *faas.Revision
}

// Alias is a named pointer to a version: "ns/name@live" to version "3".
type Alias struct {
	// Ref names the alias in its Version.
	Ref faas.Ref
	// Target is a version number.
	Target string
	// Revision is that of its last change; set by the registry.
	Revision faas.Revision
}

// Query chooses what List returns.
type Query struct {
	// Namespace and Name restrict the list when not empty.
	Namespace, Name string
	// AllVersions lists every version; otherwise only the latest of each function.
	AllVersions bool
	// Limit is the size of a page, 1 to MaxPage. Zero: DefaultPage.
	Limit int
	// Token continues after a page, from its Next.
	Token string
}

// Page sizes of List.
const (
	DefaultPage = 100
	MaxPage     = 1000
)

// Page is one part of a list.
type Page struct {
	Functions []faas.Function
	// Next is the token of the next page; empty at the end.
	Next string
	// Revision is the registry's revision when the page was read.
	Revision faas.Revision
}

// EventKind is what changed.
type EventKind string

// The kinds.
const (
	// Published: a version was added.
	Published EventKind = "published"
	// Deleted: a version was removed. Deleting a function is one event for each alias and then for each version.
	Deleted EventKind = "deleted"
	// AliasSet: an alias was made or moved; Ref names it, Target is where it points.
	AliasSet EventKind = "alias-set"
	// AliasDeleted: an alias was removed.
	AliasDeleted EventKind = "alias-deleted"
)

// Event is one change.
type Event struct {
	Kind EventKind
	// Ref is the version or the alias.
	Ref faas.Ref
	// Target is set for AliasSet.
	Target string
	// Revision is that of the change; it grows from event to event.
	Revision faas.Revision
}
