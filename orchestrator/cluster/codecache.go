package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/archive"
	"github.com/joinery/faas/orchestrator"
)

// DefaultCodeCacheBytes bounds the unpacked code that no instance uses.
const DefaultCodeCacheBytes = 1 << 30

// codeCache keeps unpacked archives by digest: one directory each, read-only and shared
// by all instances. A directory appears whole, by a rename.
type codeCache struct {
	source orchestrator.CodeSource
	dir    string
	limit  int64
	log    *slog.Logger

	fetches sync.WaitGroup
	mu      sync.Mutex
	entries map[faas.Digest]*unpacked
	unused  int64 // bytes of the entries without users
}

// unpacked is one digest: there, or being fetched.
type unpacked struct {
	digest faas.Digest
	ready  chan struct{} // closed when the fetch is over
	err    error
	bytes  int64
	users  int
	since  time.Time // when the last user left
	cancel context.CancelFunc
}

const partial = "tmp-"

func newCodeCache(source orchestrator.CodeSource, dir string, limit int64, log *slog.Logger) *codeCache {
	return &codeCache{source: source, dir: dir, limit: limit, log: log, entries: map[faas.Digest]*unpacked{}}
}

// open takes up what the directory has from before, and removes what was not finished.
func (c *codeCache) open() error {
	const op = "open code directory"
	fail := func(err error) error {
		return faas.Errorf(agentName, op, c.dir, faas.ErrUnavailable, "%w", err)
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return fail(err)
	}
	found, err := os.ReadDir(c.dir)
	if err != nil {
		return fail(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range found {
		path := filepath.Join(c.dir, f.Name())
		if strings.HasPrefix(f.Name(), partial) {
			if err := removeTree(path); err != nil {
				return fail(err)
			}
			continue
		}
		digest := faas.Digest("sha256:" + f.Name())
		if digest.Validate() != nil {
			continue // not ours
		}
		n, err := seal(path)
		if err != nil {
			return fail(err)
		}
		ready := make(chan struct{})
		close(ready)
		c.entries[digest] = &unpacked{digest: digest, ready: ready, bytes: n, since: time.Now()}
		c.unused += n
	}
	c.trim()
	return nil
}

// close waits for the fetches, which nobody wants any more.
func (c *codeCache) close() { c.fetches.Wait() }

func (c *codeCache) path(d faas.Digest) string {
	return filepath.Join(c.dir, strings.TrimPrefix(string(d), "sha256:"))
}

// get returns the directory of the digest's content, fetched once however many ask.
// It stays until release was called. A fetch that nobody waits for any more is cancelled.
func (c *codeCache) get(ctx context.Context, d faas.Digest) (dir string, release func(), err error) {
	if err := d.Validate(); err != nil {
		return "", nil, err
	}
	c.mu.Lock()
	e := c.entries[d]
	if e == nil {
		fctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		e = &unpacked{digest: d, ready: make(chan struct{}), cancel: cancel}
		c.entries[d] = e
		c.fetches.Go(func() { c.fetch(fctx, e) })
	} else if e.users == 0 {
		c.unused -= e.bytes
	}
	e.users++
	c.mu.Unlock()
	select {
	case <-e.ready:
	case <-ctx.Done():
		c.release(e)
		return "", nil, faas.ContextError(ctx, agentName, "fetch code", string(d))
	}
	if e.err != nil {
		c.release(e)
		return "", nil, e.err
	}
	return c.path(d), sync.OnceFunc(func() { c.release(e) }), nil
}

// hold keeps the digest's directory, if it is there, until release was called.
func (c *codeCache) hold(d faas.Digest) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[d]
	if e == nil {
		return func() {}
	}
	if e.users == 0 {
		c.unused -= e.bytes
	}
	e.users++
	return sync.OnceFunc(func() { c.release(e) })
}

func (c *codeCache) release(e *unpacked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.users--; e.users > 0 {
		return
	}
	select {
	case <-e.ready:
	default:
		// Nobody waits any more. Who asks next begins anew.
		e.cancel()
		delete(c.entries, e.digest)
		return
	}
	if e.err == nil {
		e.since = time.Now()
		c.unused += e.bytes
		c.trim()
	}
}

// trim removes the entries that were unused longest while there are too many bytes of
// them. The caller holds mu.
func (c *codeCache) trim() {
	for c.unused > c.limit {
		var oldest *unpacked
		for _, e := range c.entries {
			if e.users == 0 && (oldest == nil || e.since.Before(oldest.since)) {
				oldest = e
			}
		}
		if oldest == nil {
			return
		}
		delete(c.entries, oldest.digest)
		c.unused -= oldest.bytes
		if err := removeTree(c.path(oldest.digest)); err != nil {
			c.log.Warn("cannot remove unused code", "digest", oldest.digest, "error", err)
		}
	}
}

// fetch unpacks the content of the digest into a directory of its own, verifies all of it,
// and gives it its name.
func (c *codeCache) fetch(ctx context.Context, e *unpacked) {
	defer e.cancel()
	n, err := c.unpack(ctx, e.digest)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.bytes, e.err = n, err; err != nil && c.entries[e.digest] == e {
		delete(c.entries, e.digest) // the next one tries again
	}
	close(e.ready)
}

func (c *codeCache) unpack(ctx context.Context, d faas.Digest) (int64, error) {
	const op = "fetch code"
	fail := func(err error) (int64, error) {
		return 0, &faas.Error{Component: agentName, Op: op, Key: string(d), Class: faas.Class(err), Err: err}
	}
	r, err := c.source.Open(ctx, d)
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	tmp, err := os.MkdirTemp(c.dir, partial)
	if err != nil {
		return fail(faas.Errorf("", "", "", faas.ErrUnavailable, "%w", err))
	}
	defer removeTree(tmp) // nothing of it is left after the rename
	content := filepath.Join(tmp, "content")
	hash := sha256.New()
	body := io.TeeReader(r, hash)
	if err := archive.UnpackTar(ctx, body, content, archive.Limits{}); err != nil {
		return fail(err)
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return fail(err)
	}
	if got := faas.Digest("sha256:" + hex.EncodeToString(hash.Sum(nil))); got != d {
		return fail(faas.Errorf("", "", "", faas.ErrCorrupt, "the code source gave content whose digest is %s", got))
	}
	n, err := seal(content)
	if err == nil {
		err = os.Rename(content, c.path(d))
	}
	if err == nil {
		err = os.Chmod(c.path(d), 0o555) // only now: a directory that changes parents must be writable
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil // it was there already
	}
	if err != nil {
		return fail(faas.Errorf("", "", "", faas.ErrUnavailable, "%w", err))
	}
	return n, nil
}

// seal takes away every permission to write below dir, and returns the bytes that it holds.
func seal(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(path string, f fs.DirEntry, err error) error {
		if err != nil || f.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := f.Info()
		if err != nil {
			return err
		}
		if f.Type().IsRegular() {
			n += info.Size()
		}
		if mode := info.Mode().Perm(); mode&0o222 != 0 && path != dir {
			return os.Chmod(path, mode&^0o222)
		}
		return nil
	})
	return n, err
}

// removeTree removes a tree whose directories may be read-only.
func removeTree(dir string) error {
	_ = filepath.WalkDir(dir, func(path string, f fs.DirEntry, err error) error {
		if err == nil && f.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return err
	})
	return os.RemoveAll(dir)
}
