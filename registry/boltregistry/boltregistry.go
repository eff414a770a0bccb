// Package boltregistry is a durable function registry (F1) in one file, on bbolt.
// What it acknowledged is on disk before anybody sees it, and survives a kill at any
// point; look-ups are answered from memory and are as quick as memregistry's.
//
// # Snippet
//
//	reg, err := boltregistry.Open("functions.db", nil)
//	if err != nil {
//		return err
//	}
//	defer reg.Close()
//	fn, err := reg.Publish(ctx, faas.Ref{Name: "hello"}, spec, nil)
//
// # Errors
//
// Those of [registry.Registry], and for every write: ErrExhausted when the disk is full
// (nothing has changed; writes work again when there is space), ErrUnavailable after an I/O
// error. After that the disk's content is uncertain, so the registry goes on to answer
// reads but refuses writes until it is opened again.
//
// # Concurrency
//
// All methods are safe for concurrent use; concurrent writes share one sync of the disk. One
// process at a time opens a file. There are no goroutines.
package boltregistry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/disk"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/internal/table"
)

// DefaultHistory is the number of changes that Options keeps when it says nothing else.
const DefaultHistory = 10_000

// Options of Open; nil means the defaults.
type Options struct {
	// History is how many changes are kept for Watch, on disk too, so that a watcher goes on after
	// a restart. One that falls further behind ends with ErrExhausted. Zero: DefaultHistory. Negative is invalid.
	History int
}

// The methods of a Registry are those of the contract, and documented there.
var _ registry.Registry = (*Registry)(nil)

type base = table.Table

// Registry is a durable [registry.Registry].
type Registry struct{ *base }

// Open opens the registry in the file at path and makes it if there is none; its directory
// must exist. All of it is read and checked. Errors: ErrInvalidArgument (options),
// ErrConflict (another process or value has it open; told within 100 ms), ErrCorrupt
// (names the file and what is wrong in it), ErrNotFound (no directory), ErrDenied,
// ErrExhausted, ErrUnavailable.
func Open(path string, o *Options) (*Registry, error) {
	history := DefaultHistory
	switch {
	case path == "":
		return nil, fail(path, faas.ErrInvalidArgument, errors.New("the path is empty"))
	case o != nil && o.History < 0:
		return nil, fail(path, faas.ErrInvalidArgument, fmt.Errorf("history is %d, less than 0", o.History))
	case o != nil && o.History > 0:
		history = o.History
	}
	switch st, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		if err := create(path); err != nil {
			return nil, fail(path, disk.Class(err), err)
		}
	case err == nil && !st.Mode().IsRegular():
		return nil, fail(path, faas.ErrInvalidArgument, errors.New("this is not a regular file"))
	case err == nil && st.Size() == 0: // which bbolt would take for a new one
		return nil, fail(path, faas.ErrCorrupt, errors.New("the file is empty"))
	}
	db, err := open(path)
	if err != nil {
		return nil, fail(path, disk.Class(err), err)
	}
	l := &log{db: db, history: history}
	t, err := l.table(path)
	if err != nil {
		_ = db.Close()
		return nil, fail(path, disk.Class(err), err)
	}
	return &Registry{t}, nil
}

// table reads everything and returns the table that goes on with it.
func (l *log) table(path string) (t *table.Table, err error) {
	err = guard(func() error {
		if err := checkPages(path, l.db.Info().PageSize); err != nil {
			return err
		}
		state, err := l.load()
		if err == nil {
			t, err = table.New(table.Config{History: l.history, Commit: l.commit, Close: l.close, State: state})
		}
		return err
	})
	return t, err
}

func fail(path string, class, err error) error {
	e := faas.Errorf("registry", "open", path, class, "%w", err)
	switch class {
	case faas.ErrCorrupt:
		e.Next = "restore the file from a backup"
	case faas.ErrConflict:
		e.Next = "close the other user of the file"
	}
	return e
}

// lockTimeout makes bbolt, which pauses 50 ms between tries, try twice.
const lockTimeout = 75 * time.Millisecond

// open returns ErrConflict, ErrCorrupt or an error of the file system. It lets go of the file
// also when bbolt panics over it.
func open(path string) (db *bbolt.DB, err error) {
	var file *os.File
	o := &bbolt.Options{Timeout: lockTimeout, PreLoadFreelist: true, NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		}}
	err = guard(func() error {
		db, err = bbolt.Open(path, 0o600, o)
		return err
	})
	var system syscall.Errno
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		err = faas.Errorf("registry", "lock", path, faas.ErrConflict, "the file is open elsewhere")
	case !errors.As(err, &system) && !errors.Is(err, faas.ErrCorrupt):
		err = corrupt("header", "%w", err)
	}
	if file != nil {
		release(file)
	}
	return nil, err
}

// staleAfter is far longer than the making of an empty file takes.
const staleAfter = time.Minute

// create makes an empty registry in a temporary file, complete and synced, and only then gives
// it its name: a crash never leaves half a file under it (bbolt #567). The name is
// linked, not renamed, so that of two processes that create it one wins and both open the same.
func create(path string) error {
	dir, name := filepath.Split(path)
	dir = filepath.Clean(dir)
	pattern := "." + name + ".new-*"
	if old, err := filepath.Glob(filepath.Join(dir, pattern)); err == nil {
		for _, f := range old {
			if st, err := os.Stat(f); err == nil && time.Since(st.ModTime()) > staleAfter {
				_ = os.Remove(f)
			}
		}
	}
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return err
	}
	tmp := f.Name()
	defer os.Remove(tmp)
	if err := f.Close(); err != nil {
		return err
	}
	db, err := open(tmp)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(initialise), db.Sync(), db.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp, path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return disk.SyncDir(dir)
}
