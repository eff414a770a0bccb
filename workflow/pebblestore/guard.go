package pebblestore

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
)

// guard is the file system that the library sees. The library gives up its process when a log or a
// directory fails it, so the guard never lets it see that: it keeps the failure, freezes what is on disk,
// and whoever waits for a write asks it afterwards. A full disk it meets with the reserve first, and
// when that is gone too with patience.
//
// Tables, which the library can write anew, fail as they do.
type guard struct {
	vfs.FS
	reserve

	failure atomic.Pointer[faas.Error]
	patient atomic.Bool // it is open: writes wait for space
	stopped chan struct{}
	log     *slog.Logger
}

func newGuard(fs vfs.FS, log *slog.Logger) *guard {
	return &guard{FS: fs, reserve: reserve{fs: fs}, stopped: make(chan struct{}), log: log}
}

// pause is how long a write that found no space waits before the next attempt, and between failures of
// background work.
const pause = 20 * time.Millisecond

// stop ends the patience of writes that wait for space.
func (g *guard) stop() { close(g.stopped) }

// failed returns why the store is poisoned, or nil.
func (g *guard) failed() error {
	if err := g.failure.Load(); err != nil {
		return err
	}
	return nil
}

func (g *guard) poison(op, name string, cause error) {
	err := faas.Errorf("workflow store", op, name, faas.ErrUnavailable, "the store is poisoned: %w", cause)
	err.Next = "open it again: what is on disk stays as it is until then"
	if g.failure.CompareAndSwap(nil, err) {
		g.log.Error("poisoned: a write failed", "op", op, "file", name, "error", cause)
	}
}

// wait pauses; it reports false when the store closes.
func (g *guard) wait() bool {
	select {
	case <-g.stopped:
		return false
	case <-time.After(pause):
		return true
	}
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// vital does what must not fail. Whatever comes of it, the library is told that it worked.
func (g *guard) vital(op, name string, do func() error) {
	if g.failed() != nil {
		return
	}
	for {
		err := do()
		switch {
		case err == nil:
			return
		case !isFull(err):
			g.poison(op, name, err)
			return
		case g.release():
			g.log.Warn("the disk is full: the reserve is in use", "file", name)
			continue
		}
		g.stalled.Add(1)
		again := g.patient.Load() && g.wait()
		g.stalled.Add(-1)
		if !again {
			g.poison(op, name, err)
			return
		}
	}
}

// ordinary does what may fail and be done again.
func (g *guard) ordinary(do func() error) error {
	if err := g.failed(); err != nil {
		g.wait() // the library tries again at once
		return err
	}
	err := do()
	if isFull(err) && g.release() {
		err = do()
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		g.wait()
	}
	return err
}

// isVital tells logs, manifests and what names them from tables and temporary files.
func (g *guard) isVital(name string) bool {
	base := g.PathBase(name)
	return strings.HasSuffix(base, ".log") || strings.HasPrefix(base, "MANIFEST") || strings.HasPrefix(base, "marker.")
}

func (g *guard) create(name string, make func() (vfs.File, error)) (vfs.File, error) {
	failpoint.Hit("pebblestore/before-create")
	var f vfs.File
	try := func() (err error) { f, err = make(); return err }
	if !g.isVital(name) {
		if err := g.ordinary(try); err != nil {
			return nil, err
		}
		return &tableFile{f, g}, nil
	}
	if strings.HasPrefix(g.PathBase(name), "marker.") {
		// A marker names another file, whose own entry must be there first.
		g.vital("sync", name, func() error { return syncDir(g.FS, g.PathDir(name)) })
	}
	g.vital("create", name, try)
	if f == nil {
		f = nothing{}
	}
	return &vitalFile{f, g, name}, nil
}

func (g *guard) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create(name, func() (vfs.File, error) { return g.FS.Create(name, c) })
}

func (g *guard) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create(name, func() (vfs.File, error) { return g.FS.ReuseForWrite(old, name, c) })
}

func (g *guard) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return g.create(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, o...) })
}

func (g *guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &vitalFile{f, g, name}, nil
}

func (g *guard) Rename(old, name string) error {
	return g.ordinary(func() error { return g.FS.Rename(old, name) })
}

func (g *guard) Link(old, name string) error {
	return g.ordinary(func() error { return g.FS.Link(old, name) })
}

func (g *guard) Remove(name string) error {
	if err := g.failed(); err != nil {
		return err
	}
	return g.FS.Remove(name)
}

func (g *guard) RemoveAll(name string) error {
	if err := g.failed(); err != nil {
		return err
	}
	return g.FS.RemoveAll(name)
}

func (g *guard) Unwrap() vfs.FS { return g.FS }

// vitalFile is a log, a manifest, a marker or a directory.
type vitalFile struct {
	vfs.File
	g    *guard
	name string
}

func (f *vitalFile) Write(p []byte) (int, error) {
	failpoint.Hit("pebblestore/before-write")
	done := 0
	f.g.vital("write", f.name, func() error {
		n, err := f.File.Write(p[done:])
		done += n
		return err
	})
	failpoint.Hit("pebblestore/after-write")
	return len(p), nil
}

func (f *vitalFile) Sync() error {
	f.g.vital("sync", f.name, f.File.Sync)
	return nil
}

func (f *vitalFile) SyncData() error {
	failpoint.Hit("pebblestore/before-sync")
	f.g.vital("sync", f.name, f.File.SyncData)
	failpoint.Hit("pebblestore/after-sync")
	return nil
}

func (f *vitalFile) SyncTo(length int64) (full bool, _ error) {
	f.g.vital("sync", f.name, func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, nil
}

func (f *vitalFile) Close() error {
	if err := f.File.Close(); err != nil {
		f.g.poison("close", f.name, err)
	}
	return nil
}

func (f *vitalFile) Stat() (vfs.FileInfo, error) {
	st, err := f.File.Stat()
	if err != nil {
		f.g.poison("stat", f.name, err)
		return emptyInfo{}, nil
	}
	return st, nil
}

// Preallocate is for speed alone.
func (f *vitalFile) Preallocate(off, length int64) error {
	if f.g.failed() == nil {
		_ = f.File.Preallocate(off, length)
	}
	return nil
}

// tableFile is a table or a temporary file.
type tableFile struct {
	vfs.File
	g *guard
}

func (f *tableFile) Write(p []byte) (int, error) {
	done := 0
	err := f.g.ordinary(func() error {
		n, err := f.File.Write(p[done:])
		done += n
		return err
	})
	return done, err
}

func (f *tableFile) Sync() error { return f.g.ordinary(f.File.Sync) }

func (f *tableFile) SyncData() error { return f.g.ordinary(f.File.SyncData) }

func (f *tableFile) SyncTo(length int64) (full bool, err error) {
	err = f.g.ordinary(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}
