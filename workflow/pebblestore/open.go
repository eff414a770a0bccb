package pebblestore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	cockroach "github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/disk"
)

// options are how the library is used here: writes gather in memory tables of up to half the reserve, so that
// it can take the last of them to disk when that is full; logs mark what was synced, which tells
// a torn tail from damage.
func (s *Store) options(c Config) *pebble.Options {
	o := &pebble.Options{
		FS:                          s.disk,
		Logger:                      library{s},
		FormatMajorVersion:          pebble.FormatWALSyncChunks,
		CacheSize:                   c.Cache,
		MemTableSize:                uint64(min(c.Reserve/2, 64<<20)),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               64 << 20,
		BytesPerSync:                1 << 20,
		MaxOpenFiles:                500,
		FlushDelayDeleteRange:       10 * time.Second, // what is deleted gives its space back in an idle store too
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.log.Warn("background work failed and will be done again", "error", err) },
			DataCorruption:  func(info pebble.DataCorruptionInfo) { s.log.Error("damaged", "file", info.Path, "error", info.Details) },
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 8 << 10 // of a damaged one nothing is served, and the library searches it for the bit
		o.Levels[i].IndexBlockSize = 256 << 10
	}
	return o
}

// library is the library's logger. What is fatal to the library poisons the store.
type library struct{ s *Store }

func (library) Infof(string, ...any) {}

func (l library) Errorf(format string, args ...any) { l.s.log.Warn(fmt.Sprintf(format, args...)) }

func (l library) Fatalf(format string, args ...any) {
	l.s.disk.poison("write", l.s.dir, fmt.Errorf(format, args...))
}

// lock takes the directory for this process. ErrConflict names the process that has it.
func lock(fs vfs.FS, dir string) (io.Closer, error) {
	held, err := fs.Lock(fs.PathJoin(dir, "LOCK"))
	if isHeld(err) {
		who := "another process"
		if text, err := readFile(fs, fs.PathJoin(dir, "PID")); err == nil {
			if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				who = fmt.Sprintf("process %d", n)
			}
		}
		e := faas.Errorf("workflow store", "open", dir, faas.ErrConflict, "%s has it open: %w", who, err)
		e.Next = "stop that process, or use another directory"
		return nil, e
	}
	if err != nil {
		return nil, openError(dir, err)
	}
	if err := writeFile(fs, dir, "PID", []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(openError(dir, err), held.Close())
	}
	return held, nil
}

// isHeld tells a lock that somebody has from one that cannot be had at all.
func isHeld(err error) bool {
	if err == nil {
		return false
	}
	if strings.Contains(err.Error(), "by current process") || runtime.GOOS == "windows" {
		return true
	}
	var file *os.PathError
	return !errors.As(err, &file) && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES))
}

// The format of the directory: a file that says the version. A newer one is refused.
const (
	formatName    = "joinery workflow store "
	formatVersion = 1
)

func checkFormat(fs vfs.FS, dir string) error {
	text, err := readFile(fs, fs.PathJoin(dir, "FORMAT"))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := fs.Stat(fs.PathJoin(dir, "db")); err == nil {
			return faas.Errorf("workflow store", "open", fs.PathJoin(dir, "FORMAT"), faas.ErrCorrupt, "the file is missing beside the data")
		}
		if err := writeFile(fs, dir, "FORMAT", fmt.Appendf(nil, "%s%d\n", formatName, formatVersion)); err != nil {
			return openError(dir, err)
		}
		return nil
	} else if err != nil {
		return openError(dir, err)
	}
	number, ok := strings.CutPrefix(strings.TrimSuffix(string(text), "\n"), formatName)
	n, err := strconv.Atoi(number)
	switch {
	case !ok || err != nil || n < 1:
		return faas.Errorf("workflow store", "open", fs.PathJoin(dir, "FORMAT"), faas.ErrCorrupt, "%.40q is not %q and a number", text, formatName)
	case n > formatVersion:
		e := faas.Errorf("workflow store", "open", dir, faas.ErrUnimplemented, "written in format %d; this version knows %d", n, formatVersion)
		e.Next = "use the version that wrote it, or a newer one"
		return e
	}
	return nil
}

// makeDir makes a directory and its parents, and their entries durable.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil {
		return nil
	}
	parent := fs.PathDir(dir)
	if parent != dir {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<10))
}

// writeFile replaces a file such that a crash leaves the old one or the new one.
func writeFile(fs vfs.FS, dir, name string, data []byte) error {
	temporary := fs.PathJoin(dir, name+".new")
	f, err := fs.Create(temporary, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(temporary, fs.PathJoin(dir, name)); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func openError(dir string, err error) error {
	class := disk.Class(err)
	if isFull(err) {
		class = faas.ErrExhausted
	}
	return faas.Errorf("workflow store", "open", dir, class, "%w", err)
}

// openDBError says why the library could not open its files.
func (s *Store) openDBError(err error) error {
	if failure := s.disk.failed(); isFull(failure) {
		return openError(s.dir, failure)
	} else if failure != nil {
		return failure
	}
	var classed *faas.Error
	if errors.As(err, &classed) {
		return err
	}
	switch text := err.Error(); {
	case pebble.IsCorruptionError(err):
		return s.corruptError("open", s.dir, err)
	case strings.Contains(text, "unknown format major version"), strings.Contains(text, "format major version") && strings.Contains(text, "newer"):
		return faas.Errorf("workflow store", "open", s.dir, faas.ErrUnimplemented, "written by a newer version of the library: %w", err)
	}
	return openError(s.dir, fmt.Errorf("%w %s", err, cockroach.FlattenDetails(err)))
}
