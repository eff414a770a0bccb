// Package memcode is a code store (F1) in memory: content-addressed, for tests and
// for platforms that build their functions at every start.
//
// # Snippet
//
//	code := memcode.New(nil)
//	defer code.Close()
//	blob, err := code.Put(ctx, archive)
//	r, err := code.Open(ctx, blob.Digest)
//
// # Errors
//
// Those of [registry.CodeStore]; ErrExhausted is over Options.MaxBytes. Nothing here can be corrupt.
//
// # Concurrency
//
// All methods are safe for concurrent use. There are no goroutines.
package memcode

import (
	"bytes"
	"context"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/internal/blob"
)

// Options of New; nil means the defaults.
type Options struct {
	// MaxBytes bounds the size of all blobs together. Puts under way need room beside it, each at
	// most as much. Zero or less: no bound.
	MaxBytes int64
}

var _ registry.CodeStore = (*Store)(nil)

// Store is a [registry.CodeStore] in memory; its methods are documented there.
type Store struct {
	max int64

	mu     sync.RWMutex
	blobs  map[faas.Digest][]byte // nil after Close
	stored int64
}

// New returns an empty store.
func New(o *Options) *Store {
	s := &Store{blobs: make(map[faas.Digest][]byte)}
	if o != nil {
		s.max = max(o.MaxBytes, 0)
	}
	return s
}

func (s *Store) closed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.blobs == nil
}

// Put implements registry.CodeStore.
func (s *Store) Put(ctx context.Context, r io.Reader) (registry.Blob, error) {
	if s.closed() {
		return registry.Blob{}, blob.Closed("put")
	}
	var buf bytes.Buffer
	b, err := blob.Copy(ctx, &buf, r, s.max)
	if err != nil {
		return registry.Blob{}, err
	}
	content := slices.Clip(slices.Clone(buf.Bytes()))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blobs == nil {
		return registry.Blob{}, blob.Closed("put")
	}
	if _, ok := s.blobs[b.Digest]; ok {
		return b, nil
	}
	if s.max > 0 && s.stored+b.Size > s.max {
		return registry.Blob{}, blob.Full(s.max)
	}
	s.blobs[b.Digest] = content
	s.stored += b.Size
	return b, nil
}

func (s *Store) find(op string, d faas.Digest) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.blobs == nil {
		return nil, blob.Closed(op)
	}
	if err := blob.Check(op, d); err != nil {
		return nil, err
	}
	content, ok := s.blobs[d]
	if !ok {
		return nil, blob.Fail(op, string(d), faas.ErrNotFound, "no such code")
	}
	return content, nil
}

// Open implements registry.CodeStore. The content was hashed when it came and cannot change.
func (s *Store) Open(_ context.Context, d faas.Digest) (io.ReadCloser, error) {
	content, err := s.find("open", d)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

// Stat implements registry.CodeStore.
func (s *Store) Stat(_ context.Context, d faas.Digest) (registry.Blob, error) {
	content, err := s.find("stat", d)
	if err != nil {
		return registry.Blob{}, err
	}
	return registry.Blob{Digest: d, Size: int64(len(content))}, nil
}

// Delete implements registry.CodeStore.
func (s *Store) Delete(_ context.Context, d faas.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blobs == nil {
		return blob.Closed("delete")
	}
	if err := blob.Check("delete", d); err != nil {
		return err
	}
	content, ok := s.blobs[d]
	if !ok {
		return blob.Fail("delete", string(d), faas.ErrNotFound, "no such code")
	}
	delete(s.blobs, d)
	s.stored -= int64(len(content))
	return nil
}

// List implements registry.CodeStore. It yields what is there when it begins.
func (s *Store) List(ctx context.Context) iter.Seq2[registry.Blob, error] {
	return func(yield func(registry.Blob, error) bool) {
		s.mu.RLock()
		closed := s.blobs == nil
		list := make([]registry.Blob, 0, len(s.blobs))
		for _, d := range slices.Sorted(maps.Keys(s.blobs)) {
			list = append(list, registry.Blob{Digest: d, Size: int64(len(s.blobs[d]))})
		}
		s.mu.RUnlock()
		if closed {
			yield(registry.Blob{}, blob.Closed("list"))
			return
		}
		for _, b := range list {
			if ctx.Err() != nil {
				yield(registry.Blob{}, faas.ContextError(ctx, "code store", "list", ""))
				return
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// Close implements io.Closer. Readers that are open go on.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs = nil
	return nil
}
