// Package dirdefinitions is a durable workflow registry (W1) in a directory of files that people can
// read, compare and keep in version control:
//
//	dir/<namespace>/<name>/<version>.workflow   one version: settings and source
//	dir/<namespace>/<name>/numbers              which numbers were used, once a version was deleted
//	dir/.lock                                   held by the process that has it open
//
// A version's file is one line with the format and the SHA-256 of what follows, the settings as JSON,
// a line "---", and the source as it was written. A file appears whole or not at all, whatever
// is killed at whatever moment, and is on disk before Register returns. All of them are read and checked by
// Open and held in memory, so that a look-up reads no file.
//
// # Snippet
//
//	registry, err := dirdefinitions.Open("workflows", languages, nil)
//	if err != nil {
//		return err
//	}
//	defer registry.Close()
//	d, err := registry.Register(ctx, workflow.Definition{Ref: faas.Ref{Name: "report"}, Language: "dag", Source: text})
//
// # Errors
//
// Those of [workflow.Registry]; an error of the file system is ErrDenied, ErrExhausted or
// ErrUnavailable. Open returns ErrConflict while another process or value has the directory
// open, and ErrCorrupt naming each damaged file.
//
// # Concurrency
//
// All methods are safe for concurrent use. There are no goroutines.
package dirdefinitions

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/disk"
	"github.com/joinery/faas/internal/versionlist"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/catalog"
)

// Options of Open; nil means the defaults.
type Options struct {
	// Logger gets a warning for each file that is not the registry's. Nil: none.
	Logger *slog.Logger
}

// The methods of a Registry are those of the contract, and documented there.
var _ workflow.Registry = (*Registry)(nil)

type base = catalog.Catalog

// Registry is a [workflow.Registry] in a directory.
type Registry struct{ *base }

// Open opens the registry in a directory, which it makes if there is none, and admits
// definitions in these languages; what is there already is not compiled again. Errors: ErrInvalidArgument,
// ErrConflict (it is open elsewhere), ErrCorrupt (every damaged file), ErrUnimplemented (a file of
// a newer format), ErrDenied, ErrExhausted, ErrUnavailable.
func Open(dir string, languages *workflow.Languages, o *Options) (*Registry, error) {
	if dir == "" || languages == nil {
		return nil, failed("open", dir, faas.Errorf("workflow registry", "open", dir, faas.ErrInvalidArgument, "the directory is empty or languages is nil"))
	}
	f := &files{dir: dir, logger: slog.New(slog.DiscardHandler)}
	if o != nil && o.Logger != nil {
		f.logger = o.Logger
	}
	if err := f.makeDir(dir); err != nil {
		return nil, failed("open", dir, err)
	}
	var err error
	if f.lock, err = lock(filepath.Join(dir, lockName)); err != nil {
		return nil, failed("open", dir, err)
	}
	c := catalog.New(languages, f)
	if err := f.load(c); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Registry{c}, nil
}

const (
	lockName    = ".lock"
	numbersName = "numbers"
	suffix      = ".workflow"
	temporary   = ".new-"
)

// failed gives an error of the file system its class; one that has a class keeps it.
func failed(op, path string, err error) error {
	var own *faas.Error
	if errors.As(err, &own) {
		return err
	}
	return faas.Errorf("workflow registry", op, path, disk.Class(err), "%w", err)
}

// files is the catalog's Keeper.
type files struct {
	dir    string
	logger *slog.Logger
	lock   *os.File
}

// Close implements catalog.Keeper.
func (f *files) Close() error {
	if err := f.lock.Close(); err != nil {
		return failed("close", f.dir, err)
	}
	return nil
}

func (f *files) home(ref faas.Ref) string { return filepath.Join(f.dir, ref.Namespace, ref.Name) }

// makeDir makes a directory and its parents durable.
func (f *files) makeDir(dir string) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if parent != dir {
		if err := f.makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return disk.SyncDir(parent)
}

// write gives a file its content in one step: it is complete and synced before it takes its name.
func write(dir, name string, content []byte) error {
	f, err := os.CreateTemp(dir, temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return disk.SyncDir(dir)
}

// Save implements catalog.Keeper.
func (f *files) Save(d *workflow.Definition) error {
	home, name := f.home(d.Ref), d.Ref.Version+suffix
	content, err := encode(d)
	if err == nil {
		err = f.makeDir(home)
	}
	if err == nil {
		if err = write(home, name, content); err != nil {
			// Whether it is there is not known any more; its number will be used again, and replaces it.
			_ = os.Remove(filepath.Join(home, name))
		}
	}
	if err != nil {
		return failed("register", filepath.Join(home, name), err)
	}
	return nil
}

// Remove implements catalog.Keeper. The numbers are noted first: what they say is deleted is deleted,
// also when the files are still there after a crash.
func (f *files) Remove(ref faas.Ref, last uint64) error {
	home := f.home(ref)
	n, err := readNumbers(home)
	if err == nil && (ref.Version == "" || n.Last < last) {
		n.Last = last
		if ref.Version == "" {
			n.Deleted = last
		}
		err = write(home, numbersName, n.encode())
	}
	if err == nil {
		if ref.Version == "" {
			f.removeDeleted(home, n)
		} else if err = os.Remove(filepath.Join(home, ref.Version+suffix)); err == nil {
			err = disk.SyncDir(home)
		}
	}
	if err != nil {
		return failed("delete", home, err)
	}
	return nil
}

// removeDeleted removes the files of versions that the numbers say are deleted. What cannot be removed
// now will be when the registry is opened the next time.
func (f *files) removeDeleted(home string, n numbers) {
	entries, err := os.ReadDir(home)
	for _, e := range entries {
		if v, ok := versionOf(e.Name()); ok && v <= n.Deleted {
			err = errors.Join(err, os.Remove(filepath.Join(home, e.Name())))
		}
	}
	if err != nil {
		f.logger.Warn("workflow registry: files of deleted versions stay for now", "dir", home, "error", err)
	}
}

// versionOf reads the name of a version's file.
func versionOf(name string) (uint64, bool) {
	number, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	n := versionlist.Number(number)
	return n, n > 0
}

// load reads everything into the catalog, and removes what killed writers left. The error names every fault.
func (f *files) load(c *catalog.Catalog) error {
	var errs []error
	for _, namespace := range f.names(f.dir, "namespace", &errs) {
		for _, name := range f.names(filepath.Join(f.dir, namespace), "name", &errs) {
			ref := faas.Ref{Namespace: namespace, Name: name}
			if err := f.loadWorkflow(c, ref); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// names returns the directories in dir whose names are valid.
func (f *files) names(dir, field string, errs *[]error) (names []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		*errs = append(*errs, failed("open", dir, err))
	}
	for _, e := range entries {
		switch {
		case e.IsDir() && faas.ValidateName(field, e.Name()) == nil:
			names = append(names, e.Name())
		case dir == f.dir && e.Name() == lockName:
		default:
			f.unknown(dir, e)
		}
	}
	return names
}

func (f *files) unknown(dir string, e fs.DirEntry) {
	f.logger.Warn("workflow registry: this is not the registry's; it is left alone", "path", filepath.Join(dir, e.Name()))
}

func (f *files) loadWorkflow(c *catalog.Catalog, ref faas.Ref) error {
	home := f.home(ref)
	entries, err := os.ReadDir(home)
	if err != nil {
		return failed("open", home, err)
	}
	n, err := readNumbers(home)
	if err != nil {
		return err
	}
	if n.Last > 0 {
		c.LoadLast(ref, n.Last)
		f.removeDeleted(home, n)
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(home, e.Name())
		number, isVersion := versionOf(e.Name())
		switch {
		case isVersion && number <= n.Deleted, e.Name() == numbersName:
		case isVersion:
			ref.Version = strconv.FormatUint(number, 10)
			d, err := readVersion(path, ref)
			if err == nil {
				err = c.Load(d)
			}
			if err != nil {
				errs = append(errs, err)
			}
		case strings.HasPrefix(e.Name(), temporary):
			if err := os.Remove(path); err != nil {
				errs = append(errs, failed("open", path, err))
			}
		default:
			f.unknown(home, e)
		}
	}
	return errors.Join(errs...)
}
