// Package pebblestore is a durable workflow execution storage (W4) in one directory, on the
// storage library pebble: batches share the way to the disk, blocks and log records are
// checksummed, and what is deleted gives its space back. It is a module of its own, so that the
// library is paid for by those alone who use it.
//
// # Snippet
//
//	store, err := pebblestore.Open(pebblestore.Config{Dir: "/var/lib/platform/workflows"})
//	eng, err := engine.New(engine.Config{Store: store, …})
//
// # Promises
//
// An Append that returned nil is on disk (fdatasync), whole, and stays there over a kill of the process and a
// power cut at any moment. One that had not returned may be there or not, but never in part. Read, Get,
// Payload and Recover show what is durable; List may show a change a moment before it is.
//
// One process at a time has the directory open; a second one is refused at once with the first one's process id.
//
// When the disk is full, new batches are refused with ErrExhausted, and what is under way is
// finished from a reserve of space that the store holds (Config.Reserve). Once there is space for a new
// reserve the store takes batches again, by itself.
//
// When a write or a sync fails in another way, the store is poisoned: nothing more is written, what is on disk stays
// as it is, Append and Delete are ErrUnavailable, and reads go on until it is opened again.
//
// # Errors
//
// Those of [workflow.Store]. ErrCorrupt names the file, and the offset as far as the library knows it.
//
// # Concurrency
//
// All methods are safe for concurrent use. Background work ends with Close.
package pebblestore

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Config is what Open needs.
type Config struct {
	// Dir is the store's directory; it is created if need be. Required.
	Dir string
	// Reserve is the space that the store holds back for a full disk, in bytes. The memory that gathers
	// writes is up to half of it. At least MinReserve. Zero: DefaultReserve.
	Reserve int64
	// Cache is the memory for blocks read, in bytes. Zero: DefaultCache.
	Cache int64
	// Logger gets what goes wrong in the background. Nil: nothing is logged.
	Logger *slog.Logger
}

// Defaults and bounds of Config.
const (
	DefaultReserve = 64 << 20
	MinReserve     = 1 << 20
	DefaultCache   = 32 << 20
)

func (c *Config) validate() error {
	var errs []error
	bad := func(field, rule string) {
		errs = append(errs, faas.Errorf("workflow store", "open", field, faas.ErrInvalidArgument, "%s", rule))
	}
	if c.Dir == "" {
		bad("Dir", "is empty")
	}
	if c.Reserve == 0 {
		c.Reserve = DefaultReserve
	}
	if c.Reserve < MinReserve {
		bad("Reserve", "is less than a MiB")
	}
	if c.Cache == 0 {
		c.Cache = DefaultCache
	}
	if c.Cache < 0 {
		bad("Cache", "is negative")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}

// The methods of a Store are those of the contract, and documented there.
var _ workflow.Store = (*Store)(nil)

// Store is a durable [workflow.Store].
type Store struct {
	dir   string
	db    *pebble.DB
	disk  *guard
	lock  interface{ Close() error }
	tails [shards]shard
	// recovering counts the loops over Recover. While there is one, every tail that was touched stays in memory: one
	// that is not there tells that the execution is as it was.
	recovering atomic.Int32
	log        *slog.Logger

	// life is held for reading by what uses db; Close takes it for writing.
	life   sync.RWMutex
	closed atomic.Bool
}

// Open opens the store in a directory, and creates it if there is none. Errors: ErrInvalidArgument with
// every fault of c; ErrConflict (another process, which is named, or this one has it open); ErrUnimplemented (written by
// a newer version); ErrCorrupt, naming where; ErrExhausted (no space, not even for the reserve); ErrDenied;
// ErrUnavailable.
func Open(c Config) (*Store, error) { return open(c, vfs.Default) }

// open is Open over any file system, for tests.
func open(c Config, fs vfs.FS) (_ *Store, err error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	s := &Store{dir: c.Dir, log: c.Logger.With("component", "workflow store", "dir", c.Dir)}
	for i := range s.tails {
		s.tails[i].tails = make(map[workflow.ExecutionRef]*tail)
	}
	s.disk = newGuard(fs, s.log)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	if err := makeDir(fs, c.Dir); err != nil {
		return nil, openError(c.Dir, err)
	}
	if s.lock, err = lock(fs, c.Dir); err != nil {
		return nil, err
	}
	if err := checkFormat(fs, c.Dir); err != nil {
		return nil, err
	}
	if err := s.disk.hold(fs.PathJoin(c.Dir, "reserve"), c.Reserve); err != nil {
		return nil, openError(c.Dir, err)
	}
	if s.db, err = s.openDB(c, fs.PathJoin(c.Dir, "db")); err != nil {
		return nil, s.openDBError(err)
	}
	if s.disk.failed() != nil {
		return nil, s.openDBError(s.disk.failed())
	}
	s.disk.patient.Store(true)
	return s, nil
}

// openDB opens the library's directory. It opens a new one twice: the first log is in an older format.
func (s *Store) openDB(c Config, dir string) (*pebble.DB, error) {
	if err := checkTail(s.disk.FS, dir); err != nil {
		return nil, err
	}
	_, err := s.disk.Stat(dir)
	db, openErr := pebble.Open(dir, s.options(c))
	if openErr != nil || !errors.Is(err, os.ErrNotExist) {
		return db, openErr
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return pebble.Open(dir, s.options(c))
}

// Close frees everything; what was acknowledged stays. It moves the log to tables, where all damage is noticed.
func (s *Store) Close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}
	s.disk.stop()
	s.life.Lock()
	defer s.life.Unlock()
	s.flush()
	return s.end()
}

// flush writes what is in memory to tables, unless the disk does not let it.
func (s *Store) flush() {
	if s.disk.failed() != nil || s.disk.inUse.Load() {
		return
	}
	done, err := s.db.AsyncFlush()
	for err == nil {
		select {
		case <-done:
			return
		case <-time.After(pause):
			if s.disk.failed() != nil || s.disk.inUse.Load() {
				return
			}
		}
	}
}

// end frees what Open has got so far.
func (s *Store) end() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return faas.Errorf("workflow store", "close", s.dir, faas.ErrUnavailable, "%w", err)
	}
	return nil
}

// enter keeps the database open until leave. ErrClosed after Close.
func (s *Store) enter(op, key string) error {
	s.life.RLock()
	if s.closed.Load() {
		s.life.RUnlock()
		return faas.Errorf("workflow store", op, key, faas.ErrClosed, "the store was closed")
	}
	return nil
}

func (s *Store) leave() { s.life.RUnlock() }
