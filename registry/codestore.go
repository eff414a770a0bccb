package registry

import (
	"context"
	"io"
	"iter"

	"github.com/joinery/faas"
)

// CodeStore keeps the code of functions as content-addressed, immutable blobs. All methods are safe
// for concurrent use. Besides the errors named, a store outside memory returns ErrDenied or
// ErrUnavailable for what its medium refuses.
type CodeStore interface {
	// Put stores what r yields, to its end, and returns its digest and size. It is atomic: a
	// failed or cancelled Put leaves nothing behind, and what it acknowledged is durable in a
	// durable store. The same content again is a success. ctx is looked at between the reads of r. Errors: what
	// r returns, ErrExhausted (over the store's size limit, or no space), ErrCanceled, ErrTimeout, ErrClosed.
	Put(ctx context.Context, r io.Reader) (Blob, error)
	// Open returns the content. It is verified against the digest: what a caller reads to
	// the end without an error is the content, else ErrCorrupt. Errors: ErrNotFound,
	// ErrCorrupt, ErrInvalidArgument, ErrClosed. The caller closes the reader; a Delete meanwhile does not disturb it.
	Open(ctx context.Context, d faas.Digest) (io.ReadCloser, error)
	// Stat returns what is known of a blob, without reading it. Errors: ErrNotFound, ErrInvalidArgument, ErrClosed.
	Stat(ctx context.Context, d faas.Digest) (Blob, error)
	// Delete removes a blob. Errors: ErrNotFound, ErrInvalidArgument, ErrClosed.
	Delete(ctx context.Context, d faas.Digest) error
	// List yields every blob, in the order of their digests. It ends with the first error: ErrCanceled,
	// ErrTimeout, ErrClosed. The loop may call the store's other methods.
	List(ctx context.Context) iter.Seq2[Blob, error]
	// Close frees everything. Twice is nil; the other methods then return ErrClosed.
	io.Closer
}

// Blob is what is known of a content.
type Blob struct {
	Digest faas.Digest
	// Size in bytes.
	Size int64
}
