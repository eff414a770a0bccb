package pebblestore

import (
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdDir); dir != "" {
		holdOpen(dir)
		return
	}
	// The library leaves this one behind when it fails to open late; Close ends it otherwise.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/cockroachdb/pebble/v2.(*ConcurrencyLimitScheduler).periodicGranter"))
}

// small is a configuration for tests: little memory, and background trouble in the test's log.
func small(tb testing.TB, dir string) Config {
	return Config{Dir: dir, Reserve: 4 << 20, Cache: 4 << 20, Logger: slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelError}))}
}

// brokenFS fails the next sync of a log when it is told to.
type brokenFS struct {
	vfs.FS
	fail atomic.Bool
}

func (fs *brokenFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, c)
	return &brokenFile{f, fs}, err
}

func (fs *brokenFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(old, name, c)
	return &brokenFile{f, fs}, err
}

type brokenFile struct {
	vfs.File
	fs *brokenFS
}

func (f *brokenFile) SyncData() error {
	if f.fs.fail.CompareAndSwap(true, false) {
		return syscall.EIO
	}
	return f.File.SyncData()
}

// opened is a store over a file system that can fail.
type opened struct {
	*Store
	fs *brokenFS
	c  Config
}

func openIn(tb testing.TB, c Config) *opened {
	tb.Helper()
	fs := &brokenFS{FS: vfs.Default}
	s, err := open(c, fs)
	require.NoError(tb, err)
	return &opened{s, fs, c}
}

var harness = storetest.Harness{
	Open: func(tb testing.TB) workflow.Store { return openIn(tb, small(tb, tb.TempDir())) },
	Reopen: func(tb testing.TB, s workflow.Store) workflow.Store {
		require.NoError(tb, s.Close())
		return openIn(tb, s.(*opened).c)
	},
	Fail: func(_ testing.TB, s workflow.Store) { s.(*opened).fs.fail.Store(true) },
	Corrupt: func(tb testing.TB, s workflow.Store, ref workflow.ExecutionRef) workflow.Store {
		require.NoError(tb, s.Close())
		o := s.(*opened)
		db, err := pebble.Open(o.c.Dir+"/db", &pebble.Options{Logger: library{o.Store}})
		require.NoError(tb, err)
		v, closer, err := db.Get(eventsKey(nil, ref, 1))
		require.NoError(tb, err)
		damaged := append([]byte{}, v...)
		damaged[len(damaged)/2] ^= 0x40
		damaged = damaged[:len(damaged)-3]
		require.NoError(tb, closer.Close())
		require.NoError(tb, db.Set(eventsKey(nil, ref, 1), damaged, pebble.Sync))
		require.NoError(tb, db.Close())
		return openIn(tb, o.c)
	},
}

func TestConformance(t *testing.T) { storetest.Run(t, harness) }

func BenchmarkStore(b *testing.B) {
	h := harness
	h.Open = func(tb testing.TB) workflow.Store { return openIn(tb, Config{Dir: tb.TempDir()}) }
	storetest.Bench(b, h)
}
