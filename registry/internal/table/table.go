// Package table is the storage-free half of a registry: every rule of the contract
// over an index in memory. A registry without storage is a Table; a durable one is a
// Table whose Commit puts each group of changes on disk before anybody sees it.
//
// Reads take no lock: everything known of one function is one immutable value behind an
// atomic pointer, and a change makes a new value. The same copying makes a failed commit
// free to undo, because nothing was changed in place.
package table

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/versionlist"
	"github.com/joinery/faas/registry"
)

var _ registry.Registry = (*Table)(nil)

// Config of a Table.
type Config struct {
	// History is the number of changes kept for Watch; positive.
	History int
	// Commit, when not nil, makes changes durable, all or none, before they become visible. Calls
	// do not overlap. Its error, of a class of faas, fails every call that took part.
	Commit func([]Change) error
	// Close, when not nil, runs once, after the last Commit.
	Close func() error
	// State is what to start with.
	State State
}

// Change is one change to be made durable.
type Change struct {
	registry.Event
	// Function is the record of a Published event.
	Function *faas.Function
}

// State is the whole content of a registry.
type State struct {
	Revision  faas.Revision
	Functions []FunctionState
	// Events are the latest changes, without gaps, up to Revision.
	Events []registry.Event
}

// FunctionState is all that is kept of one function.
type FunctionState struct {
	Namespace, Name string
	// Last is the highest version number ever given; it outlives the versions.
	Last uint64
	// Versions are in the order of their numbers.
	Versions []faas.Function
	Aliases  []registry.Alias
}

type key struct{ namespace, name string }

func (k key) ref(version string) faas.Ref {
	return faas.Ref{Namespace: k.namespace, Name: k.name, Version: version}
}

func compareKeys(a, b key) int {
	return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.name, b.name))
}

// version and function are immutable. A function without versions remembers the last number.
type version struct {
	number uint64
	record faas.Function
}

type alias struct {
	registry.Alias
	target *version
}

type function struct {
	last     uint64
	versions []*version // by number; appended to, never changed in place
	aliases  map[string]*alias
}

// entry is the place of one function in the index; it stays for ever.
type entry struct {
	key
	current atomic.Pointer[function]
}

// Table implements registry.Registry.
type Table struct {
	cfg    Config
	index  sync.Map // key to *entry
	closed atomic.Bool
	queue  queue

	mu       sync.RWMutex
	order    []*entry // those with versions, by key
	events   []registry.Event
	revision faas.Revision
	changed  chan struct{} // closed at the next change; nil while nobody waits
}

// New returns a table with the state of cfg. It fails with ErrCorrupt when that is inconsistent.
func New(cfg Config) (*Table, error) {
	t := &Table{cfg: cfg, revision: cfg.State.Revision, events: cfg.State.Events}
	for _, s := range cfg.State.Functions {
		e := &entry{key: key{s.Namespace, s.Name}}
		f, err := s.restore(t.revision)
		if err != nil {
			return nil, faas.Errorf("registry", "restore", e.ref("").String(), faas.ErrCorrupt, "%w", err)
		}
		e.current.Store(f)
		t.index.Store(e.key, e)
		if len(f.versions) > 0 {
			t.order = append(t.order, e)
		}
	}
	slices.SortFunc(t.order, func(a, b *entry) int { return compareKeys(a.key, b.key) })
	for i, e := range t.events {
		if want := t.revision - faas.Revision(len(t.events)-1-i); e.Revision != want {
			return nil, faas.Errorf("registry", "restore", "", faas.ErrCorrupt, "the change of revision %d is missing", want)
		}
	}
	t.cfg.State = State{}
	t.trim()
	return t, nil
}

func (s *FunctionState) restore(revision faas.Revision) (*function, error) {
	f := &function{last: s.Last, versions: make([]*version, 0, len(s.Versions)), aliases: make(map[string]*alias, len(s.Aliases))}
	previous := uint64(0)
	for _, fn := range s.Versions {
		n := versionlist.Number(fn.Ref.Version)
		if n <= previous || n > s.Last || fn.Revision > revision {
			return nil, fmt.Errorf("version %q of revision %d is out of order (last version %d, last revision %d)", fn.Ref.Version, fn.Revision, s.Last, revision)
		}
		previous = n
		f.versions = append(f.versions, &version{n, fn})
	}
	for _, a := range s.Aliases {
		target := f.version(versionlist.Number(a.Target))
		if target == nil || a.Revision > revision {
			return nil, fmt.Errorf("alias %q points to %q, which does not exist", a.Ref.Version, a.Target)
		}
		f.aliases[a.Ref.Version] = &alias{a, target}
	}
	return f, nil
}

// find returns the function, or nil if nothing was ever published under the name.
func (t *Table) find(k key) *function {
	if e, ok := t.index.Load(k); ok {
		return e.(*entry).current.Load()
	}
	return nil
}

// Get implements registry.Functions without a lock and without allocation.
func (t *Table) Get(_ context.Context, ref faas.Ref) (faas.Function, error) {
	if t.closed.Load() {
		return faas.Function{}, errClosed("get")
	}
	ref = ref.WithDefaults()
	if f := t.find(key{ref.Namespace, ref.Name}); f != nil {
		if v := f.resolve(ref.Version); v != nil {
			return v.record, nil
		}
	}
	if err := ref.Validate(); err != nil {
		return faas.Function{}, invalid("get", err)
	}
	return faas.Function{}, notFound("get", ref)
}

func (f *function) resolve(s string) *version {
	switch {
	case s == "":
		return f.latest()
	case versionlist.IsNumber(s):
		return f.version(versionlist.Number(s))
	}
	if a := f.aliases[s]; a != nil {
		return a.target
	}
	return nil
}

func (f *function) latest() *version {
	if len(f.versions) == 0 {
		return nil
	}
	return f.versions[len(f.versions)-1]
}

func (f *function) version(n uint64) *version {
	if i, ok := f.find(n); ok {
		return f.versions[i]
	}
	return nil
}

func (f *function) find(n uint64) (int, bool) {
	return slices.BinarySearchFunc(f.versions, n, func(v *version, n uint64) int { return cmp.Compare(v.number, n) })
}
