package orchestrator

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/joinery/faas"
)

// NamingService (R1) gives cluster-wide unique names to values, with
// compare-and-swap, leases and a watch from a revision. It may also hold
// cluster-wide configuration. Names are slash-separated ("nodes/n1"); prefixes are
// plain string prefixes.
//
// Every change gets the next revision. Reads see all writes that returned before
// (linearizable). After Close every method but Close returns ErrClosed.
type NamingService interface {
	Names
	Leases
	// Close frees everything. Leases of a durable service live on. Twice is nil.
	io.Closer
}

// Names is the name-to-value half of a NamingService.
type Names interface {
	// Put sets the value of a name and returns its entry; the caller may use the bytes
	// of value anew. Errors: ErrInvalidArgument (name empty, over MaxNameBytes, or value over
	// MaxValueBytes), ErrConflict (o.IfRevision does not match), ErrNotFound (o.Lease is
	// unknown or has expired).
	Put(ctx context.Context, name string, value []byte, o *PutOptions) (Entry, error)
	// Get returns the entry of a name, or ErrNotFound.
	Get(ctx context.Context, name string) (Entry, error)
	// List returns the entries whose names have the prefix, in the order of their names,
	// and the service's revision at that moment.
	List(ctx context.Context, prefix string) ([]Entry, faas.Revision, error)
	// Delete removes a name. Errors: ErrNotFound, ErrConflict (o.IfRevision does not match).
	Delete(ctx context.Context, name string, o *DeleteOptions) error
	// Watch yields every change to names with the prefix after the given revision, in
	// order and without gaps, and blocks while there is none. It ends with one error: ErrCanceled
	// or ErrTimeout (ctx), ErrClosed, or ErrExhausted when the changes after that revision
	// are no longer kept (List again, and watch from the revision it returns).
	Watch(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[Event, error]
}

// Leases is the lifetime half of a NamingService: names put with a lease vanish with it.
type Leases interface {
	// Grant creates a lease that expires ttl after its last renewal. ttl must be
	// positive; a service may round it up.
	Grant(ctx context.Context, ttl time.Duration) (LeaseID, error)
	// Renew starts the ttl anew, or returns ErrNotFound: unknown, revoked or expired.
	Renew(ctx context.Context, id LeaseID) error
	// Revoke ends a lease and deletes its names. An unknown lease is ErrNotFound.
	Revoke(ctx context.Context, id LeaseID) error
}

// Bounds of a NamingService.
const (
	MaxNameBytes  = 512
	MaxValueBytes = 1 << 20
)

// LeaseID identifies a lease; 0 is none.
type LeaseID int64

// PutOptions of Names.Put; nil means none.
type PutOptions struct {
	// IfRevision, when not nil, makes the put conditional: the name's current
	// revision must be this; 0 means that it must not exist.
	IfRevision *faas.Revision
	// Lease, when not 0, ties the name to a lease. Each Put sets it anew.
	Lease LeaseID
}

// DeleteOptions of Names.Delete; nil means none.
type DeleteOptions struct {
	// IfRevision, when not nil, must be the name's current revision.
	IfRevision *faas.Revision
}

// Entry is one name and its value. The value must not be changed.
type Entry struct {
	Name  string
	Value []byte
	// Revision is that of the last change of this name.
	Revision faas.Revision
	Lease    LeaseID
}

// Event is one change.
type Event struct {
	// Deleted: the name is gone, by Delete or with its lease. Entry then has the name
	// and the revision of the deletion.
	Deleted bool
	Entry   Entry
}
