// Package memnaming is the naming service (R1 of the SPEC-RG reference
// architecture) in memory: for a platform within one process, and for tests. What it
// holds is lost with the process.
//
// It keeps no goroutine: watches run on the goroutines that range over them, and one
// timer, armed only while there are leases, ends those that nobody renews.
//
// # Snippet
//
//	names := memnaming.New(nil)
//	defer names.Close()
//	lease, err := names.Grant(ctx, 10*time.Second)
//	entry, err := names.Put(ctx, "nodes/n1", record, &orchestrator.PutOptions{Lease: lease})
//	for event, err := range names.Watch(ctx, "nodes/", entry.Revision) { ... }
//
// # Errors
//
// As promised by orchestrator.NamingService; the component is "naming service". A call
// whose context has ended is ErrCanceled or ErrTimeout and changes nothing.
//
// # Concurrency
//
// All methods are safe for concurrent use. A change wakes only the watches whose
// prefix it matches, at a cost that does not grow with the number of the others.
package memnaming

import (
	"bytes"
	"context"
	"strings"
	"sync"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// DefaultHistory is how many changes are kept for watches by default.
const DefaultHistory = 8192

// historyBytes bounds the values that the history keeps alive.
const historyBytes = 64 << 20

// Options of New; the zero value is the default.
type Options struct {
	// History is how many of the latest changes are kept, so that a watch can start
	// in the past and a slow one can fall behind; beyond it they end with ErrExhausted.
	// Fewer are kept while their values together are over 64 MiB. Zero or less: DefaultHistory.
	History int
}

// Service is a naming service in memory. Create it with New.
type Service struct {
	// mu guards everything below. Each change happens whole under it, which makes
	// the service linearizable.
	mu      sync.RWMutex
	closed  bool
	rev     faas.Revision
	names   map[string]*item
	ordered index
	history history
	watches watches
	leases  leases
}

// item is one name that exists.
type item struct {
	orchestrator.Entry
	lease *lease // nil: none
}

var _ orchestrator.NamingService = (*Service)(nil)

// New returns an empty service; o may be nil.
func New(o *Options) *Service {
	limit := DefaultHistory
	if o != nil && o.History > 0 {
		limit = o.History
	}
	return &Service{
		names:   make(map[string]*item),
		history: history{limit: limit},
		watches: watches{byPrefix: make(map[string]map[*watch]struct{}), lengths: make(map[int]int)},
		leases:  leases{byID: make(map[orchestrator.LeaseID]*lease)},
	}
}

// Put implements orchestrator.Names. It copies value.
func (s *Service) Put(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
	const op = "put"
	switch {
	case ctx.Err() != nil:
		return orchestrator.Entry{}, contextError(ctx, op, name)
	case name == "":
		return orchestrator.Entry{}, failf(op, name, faas.ErrInvalidArgument, "the name is empty")
	case len(name) > orchestrator.MaxNameBytes:
		return orchestrator.Entry{}, failf(op, name, faas.ErrInvalidArgument, "the name is %d bytes long, more than %d", len(name), orchestrator.MaxNameBytes)
	case len(value) > orchestrator.MaxValueBytes:
		return orchestrator.Entry{}, failf(op, name, faas.ErrInvalidArgument, "the value is %d bytes long, more than %d", len(value), orchestrator.MaxValueBytes)
	}
	if o == nil {
		o = &orchestrator.PutOptions{}
	}
	value = bytes.Clone(value)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return orchestrator.Entry{}, closedError(op, name)
	}
	it := s.names[name]
	if err := s.check(op, name, it, o.IfRevision); err != nil {
		return orchestrator.Entry{}, err
	}
	var l *lease
	if o.Lease != 0 {
		if l = s.leases.byID[o.Lease]; l == nil {
			return orchestrator.Entry{}, leaseError(op, name, o.Lease)
		}
	}
	if it == nil {
		name = strings.Clone(name) // it may be a part of something large
		it = &item{Entry: orchestrator.Entry{Name: name}}
		s.names[name] = it
		s.ordered.insert(it)
	}
	if it.lease != l {
		if it.lease != nil {
			delete(it.lease.items, it)
		}
		if it.lease = l; l != nil {
			l.items[it] = struct{}{}
		}
	}
	s.rev++
	it.Value, it.Revision, it.Lease = value, s.rev, o.Lease
	s.publish(orchestrator.Event{Entry: it.Entry})
	return it.Entry, nil
}

// Get implements orchestrator.Names.
func (s *Service) Get(ctx context.Context, name string) (orchestrator.Entry, error) {
	const op = "get"
	if ctx.Err() != nil {
		return orchestrator.Entry{}, contextError(ctx, op, name)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return orchestrator.Entry{}, closedError(op, name)
	}
	it := s.names[name]
	if it == nil {
		return orchestrator.Entry{}, failf(op, name, faas.ErrNotFound, "no such name")
	}
	return it.Entry, nil
}

// List implements orchestrator.Names.
func (s *Service) List(ctx context.Context, prefix string) ([]orchestrator.Entry, faas.Revision, error) {
	const op = "list"
	if ctx.Err() != nil {
		return nil, 0, contextError(ctx, op, prefix)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, 0, closedError(op, prefix)
	}
	var entries []orchestrator.Entry
	for it := range s.ordered.withPrefix(prefix) {
		entries = append(entries, it.Entry)
	}
	return entries, s.rev, nil
}

// Delete implements orchestrator.Names.
func (s *Service) Delete(ctx context.Context, name string, o *orchestrator.DeleteOptions) error {
	const op = "delete"
	if ctx.Err() != nil {
		return contextError(ctx, op, name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return closedError(op, name)
	}
	it := s.names[name]
	if it == nil {
		return failf(op, name, faas.ErrNotFound, "no such name")
	}
	if o != nil {
		if err := s.check(op, name, it, o.IfRevision); err != nil {
			return err
		}
	}
	s.remove(it)
	return nil
}

// Close implements orchestrator.NamingService.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.leases.stop()
	s.watches.wakeAll()
	s.names, s.ordered, s.history.events, s.leases.byID = nil, index{}, nil, nil
	return nil
}

// check returns ErrConflict unless the name's revision is the wanted one; nil wants none.
func (s *Service) check(op, name string, it *item, want *faas.Revision) error {
	if want == nil {
		return nil
	}
	var have faas.Revision
	if it != nil {
		have = it.Revision
	}
	if have == *want {
		return nil
	}
	err := failf(op, name, faas.ErrConflict, "its revision is %d, not the expected %d (0: no such name)", have, *want)
	err.Next = "read it again and decide anew"
	return err
}

// remove deletes an existing name. The caller holds mu.
func (s *Service) remove(it *item) {
	delete(s.names, it.Name)
	s.ordered.remove(it)
	if it.lease != nil {
		delete(it.lease.items, it)
	}
	s.rev++
	s.publish(orchestrator.Event{Deleted: true, Entry: orchestrator.Entry{Name: it.Name, Revision: s.rev}})
}

// publish records the change of revision s.rev and wakes who watches it. The caller holds mu.
func (s *Service) publish(e orchestrator.Event) {
	s.history.add(e)
	s.watches.wake(e.Entry.Name, s.rev, s.history.oldest())
}
