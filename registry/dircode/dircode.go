// Package dircode is a durable code store (F1) in a directory: one file for each
// content, named by its SHA-256. A file appears whole or not at all, whatever is
// killed at whatever moment, and what is read from it is checked against its name.
// Several processes may use one directory.
//
//	dir/blobs/<64 hexadecimal digits>   the content
//	dir/tmp/put-*                       what is being written, locked by its writer
//
// # Snippet
//
//	code, err := dircode.Open("code", nil)
//	if err != nil {
//		return err
//	}
//	defer code.Close()
//	blob, err := code.Put(ctx, archive)
//
// # Errors
//
// Those of [registry.CodeStore]: ErrExhausted is over Options.MaxBytes or a full disk,
// ErrCorrupt names the file; storing the same content again repairs it. An error of
// the file system is ErrDenied or ErrUnavailable.
//
// # Concurrency
//
// All methods are safe for concurrent use. There are no goroutines.
package dircode

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/disk"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/internal/blob"
)

// Options of Open; nil means the defaults.
type Options struct {
	// MaxBytes bounds the size of all blobs together. Puts under way need room beside it, each at
	// most as much. Zero: no bound but the disk. Negative is invalid.
	MaxBytes int64
}

var _ registry.CodeStore = (*Store)(nil)

// Store is a [registry.CodeStore] in a directory; its methods are documented there. It keeps
// nothing in memory: the directory is the truth.
type Store struct {
	blobs, tmp string
	max        int64

	mu     sync.Mutex // one Put at a time decides whether there is room
	closed bool
}

// Open returns the store in a directory, which it makes if there is none, and removes what
// killed writers left behind. Errors: ErrInvalidArgument, ErrDenied, ErrExhausted, ErrUnavailable.
func Open(dir string, o *Options) (*Store, error) {
	s := &Store{blobs: filepath.Join(dir, "blobs"), tmp: filepath.Join(dir, "tmp")}
	if o != nil {
		s.max = o.MaxBytes
	}
	if dir == "" || s.max < 0 {
		return nil, blob.Fail("open", dir, faas.ErrInvalidArgument, "the directory %q is empty or MaxBytes %d is negative", dir, s.max)
	}
	for _, d := range []string{s.blobs, s.tmp} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, failed("open", d, err)
		}
	}
	for _, d := range []string{filepath.Dir(filepath.Clean(dir)), dir} {
		if err := disk.SyncDir(d); err != nil {
			return nil, failed("open", d, err)
		}
	}
	if err := removeAbandoned(s.tmp); err != nil {
		return nil, failed("open", s.tmp, err)
	}
	return s, nil
}

func failed(op, key string, err error) error { return blob.Fail(op, key, disk.Class(err), "%w", err) }

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Store) path(d faas.Digest) string { return filepath.Join(s.blobs, blob.Hex(d)) }

// Put implements registry.CodeStore: a temporary file, synced, takes its name in one step.
func (s *Store) Put(ctx context.Context, r io.Reader) (registry.Blob, error) {
	if s.isClosed() {
		return registry.Blob{}, blob.Closed("put")
	}
	f, err := createLocked(s.tmp)
	if err != nil {
		return registry.Blob{}, failed("put", s.tmp, err)
	}
	b, err := s.fill(ctx, f, r)
	if err == nil {
		_ = f.Close() // synced
		return b, nil
	}
	err = errors.Join(err, os.Remove(f.Name()), f.Close())
	var own *faas.Error
	if errors.As(err, &own) {
		return registry.Blob{}, err
	}
	return registry.Blob{}, failed("put", f.Name(), err)
}

func (s *Store) fill(ctx context.Context, f *os.File, r io.Reader) (registry.Blob, error) {
	b, err := blob.Copy(ctx, f, r, s.max)
	if err == nil {
		err = errors.Join(f.Chmod(0o400), f.Sync())
	}
	if err != nil {
		return b, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return b, blob.Closed("put")
	}
	_, err = os.Lstat(s.path(b.Digest))
	isNew := errors.Is(err, fs.ErrNotExist)
	if isNew && s.max > 0 {
		if stored, err := s.stored(); err != nil {
			return b, err
		} else if stored+b.Size > s.max {
			return b, blob.Full(s.max)
		}
	}
	// What is there already is replaced all the same: it may be damaged.
	if err := os.Rename(f.Name(), s.path(b.Digest)); err != nil {
		return b, err
	}
	if err := disk.SyncDir(s.blobs); err != nil {
		return b, errors.Join(err, os.Rename(s.path(b.Digest), f.Name())) // which Put removes
	}
	return b, nil
}

// stored is the size of all blobs.
func (s *Store) stored() (sum int64, err error) {
	for b, err := range s.all() {
		if err != nil {
			return 0, err
		}
		sum += b.Size
	}
	return sum, nil
}

// all yields every blob in the order of the digests. Files with other names are not the store's.
func (s *Store) all() iter.Seq2[registry.Blob, error] {
	return func(yield func(registry.Blob, error) bool) {
		entries, err := os.ReadDir(s.blobs) // sorted
		if err != nil {
			yield(registry.Blob{}, err)
			return
		}
		for _, e := range entries {
			d, ok := blob.FromHex(e.Name())
			if !ok {
				continue
			}
			st, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted meanwhile
			}
			var size int64
			if err == nil {
				size = st.Size()
			}
			if !yield(registry.Blob{Digest: d, Size: size}, err) || err != nil {
				return
			}
		}
	}
}

// List implements registry.CodeStore.
func (s *Store) List(ctx context.Context) iter.Seq2[registry.Blob, error] {
	return func(yield func(registry.Blob, error) bool) {
		if s.isClosed() {
			yield(registry.Blob{}, blob.Closed("list"))
			return
		}
		for b, err := range s.all() {
			switch {
			case ctx.Err() != nil:
				err = faas.ContextError(ctx, "code store", "list", "")
			case err != nil:
				err = failed("list", s.blobs, err)
			}
			if err != nil {
				yield(registry.Blob{}, err)
				return
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// check is the beginning of every call about one blob.
func (s *Store) check(op string, d faas.Digest) error {
	if s.isClosed() {
		return blob.Closed(op)
	}
	return blob.Check(op, d)
}

func (s *Store) fileError(op string, d faas.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return blob.Fail(op, string(d), faas.ErrNotFound, "no such code")
	}
	return failed(op, s.path(d), err)
}

// Stat implements registry.CodeStore. It does not read the content.
func (s *Store) Stat(_ context.Context, d faas.Digest) (registry.Blob, error) {
	if err := s.check("stat", d); err != nil {
		return registry.Blob{}, err
	}
	st, err := os.Lstat(s.path(d))
	if err != nil {
		return registry.Blob{}, s.fileError("stat", d, err)
	}
	return registry.Blob{Digest: d, Size: st.Size()}, nil
}

// Delete implements registry.CodeStore.
func (s *Store) Delete(_ context.Context, d faas.Digest) error {
	if err := s.check("delete", d); err != nil {
		return err
	}
	if err := os.Remove(s.path(d)); err != nil {
		return s.fileError("delete", d, err)
	}
	if err := disk.SyncDir(s.blobs); err != nil {
		return failed("delete", s.blobs, err)
	}
	return nil
}

// Close implements io.Closer. A Put that is under way ends with ErrClosed; open readers go on.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
