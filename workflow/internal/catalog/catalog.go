// Package catalog is what the workflow registries share: the versions of definitions in
// memory, in order, with a hook that makes a change durable before it is seen.
package catalog

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/versionlist"
	"github.com/joinery/faas/workflow"
)

// Keeper makes changes durable. Its methods are called one at a time, before the change is seen. An
// error, which has a class, means that the change did not happen.
type Keeper interface {
	// Save keeps a new version.
	Save(d *workflow.Definition) error
	// Remove forgets the version that ref names, or without one all of them; last is the workflow's
	// highest number ever, not to be used again.
	Remove(ref faas.Ref, last uint64) error
	// Close frees what the keeper holds.
	Close() error
}

// Catalog is a workflow.Registry but for its place of storage.
type Catalog struct {
	languages *workflow.Languages
	keeper    Keeper

	mu     sync.RWMutex
	flows  map[key]*flow
	order  []*flow // by key; those without versions too, which remember their numbers
	closed bool
}

type key struct{ namespace, name string }

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
}

type flow struct {
	key
	last     uint64    // the highest number ever given
	versions []version // ascending
}

type version struct {
	number     uint64
	digest     faas.Digest
	definition workflow.Definition
}

// New returns an empty catalog. keeper may be nil.
func New(languages *workflow.Languages, keeper Keeper) *Catalog {
	return &Catalog{languages: languages, keeper: keeper, flows: map[key]*flow{}}
}

// Load adds a version that was kept before. Only before the catalog is used. ErrCorrupt for one that is there already.
func (c *Catalog) Load(d workflow.Definition) error {
	n := versionlist.Number(d.Ref.Version)
	if n == 0 {
		return fail("load", d.Ref, faas.ErrCorrupt, "", "%q is not a version number", d.Ref.Version)
	}
	f := c.flow(key{d.Ref.Namespace, d.Ref.Name})
	i, found := f.find(n)
	if found {
		return fail("load", d.Ref, faas.ErrCorrupt, "", "the version is there twice")
	}
	f.versions = slices.Insert(f.versions, i, version{number: n, digest: d.Digest(), definition: d})
	f.last = max(f.last, n)
	return nil
}

// LoadLast raises the highest number that a workflow ever had. Only before the catalog is used.
func (c *Catalog) LoadLast(ref faas.Ref, last uint64) {
	f := c.flow(key{ref.Namespace, ref.Name})
	f.last = max(f.last, last)
}

// flow returns the record of a workflow, a new one if there is none.
func (c *Catalog) flow(k key) *flow {
	if f := c.flows[k]; f != nil {
		return f
	}
	f := &flow{key: k}
	c.flows[k] = f
	i, _ := slices.BinarySearchFunc(c.order, k, func(f *flow, k key) int { return compareKeys(f.key, k) })
	c.order = slices.Insert(c.order, i, f)
	return f
}

func (f *flow) find(n uint64) (int, bool) {
	return slices.BinarySearchFunc(f.versions, n, func(v version, n uint64) int { return cmp.Compare(v.number, n) })
}

func fail(op string, ref faas.Ref, class error, next, format string, args ...any) error {
	err := faas.Errorf("workflow registry", op, ref.String(), class, format, args...)
	err.Next = next
	return err
}

// invalid has no key: the reference may be the hostile part, and err names the field.
func invalid(op string, err error) error {
	return faas.Errorf("workflow registry", op, "", faas.ErrInvalidArgument, "%w", err)
}

func errClosed(op string) error {
	return faas.Errorf("workflow registry", op, "", faas.ErrClosed, "the registry was closed")
}

// usable is the beginning of every call. c.mu is held.
func (c *Catalog) usable(ctx context.Context, op string) error {
	switch {
	case c.closed:
		return errClosed(op)
	case ctx.Err() != nil:
		return faas.ContextError(ctx, "workflow registry", op, "")
	}
	return nil
}

// Register implements workflow.Registry. It compiles outside of the lock.
func (c *Catalog) Register(ctx context.Context, d workflow.Definition) (workflow.Definition, error) {
	const op = "register"
	c.mu.RLock()
	err := c.usable(ctx, op)
	c.mu.RUnlock()
	if err != nil {
		return workflow.Definition{}, err
	}
	if d.Ref.Version != "" {
		return workflow.Definition{}, invalid(op, faas.Errorf("workflow registry", "validate", "version", faas.ErrInvalidArgument, "is not empty: the registry numbers versions"))
	}
	if _, err := c.languages.Compile(&d); err != nil {
		return workflow.Definition{}, err
	}
	d.Ref = d.Ref.WithDefaults()
	digest := d.Digest()

	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(ctx, op); err != nil {
		return workflow.Definition{}, err
	}
	k := key{d.Ref.Namespace, d.Ref.Name}
	var last uint64
	if f := c.flows[k]; f != nil {
		last = f.last
		if n := len(f.versions); n > 0 && f.versions[n-1].digest == digest {
			return f.versions[n-1].definition, nil
		}
	}
	d.Ref.Version = strconv.FormatUint(last+1, 10)
	d.Created = time.Now().UTC()
	if c.keeper != nil {
		if err := c.keeper.Save(&d); err != nil {
			return workflow.Definition{}, err
		}
	}
	f := c.flow(k)
	f.last = last + 1
	f.versions = append(f.versions, version{number: f.last, digest: digest, definition: d})
	return d, nil
}

// lookup resolves a reference that is valid. c.mu is held.
func (c *Catalog) lookup(op string, ref faas.Ref) (f *flow, i int, err error) {
	ref = ref.WithDefaults()
	f = c.flows[key{ref.Namespace, ref.Name}]
	if f == nil || len(f.versions) == 0 {
		return nil, 0, fail(op, ref, faas.ErrNotFound, "register it first", "no such workflow")
	}
	if ref.Version == "" {
		return f, len(f.versions) - 1, nil
	}
	i, ok := f.find(versionlist.Number(ref.Version))
	if !ok {
		return nil, 0, fail(op, ref, faas.ErrNotFound, "list the workflow's versions", "no such version")
	}
	return f, i, nil
}

// check validates a reference: names, and a version that is empty or a number.
func check(op string, ref faas.Ref) error {
	if err := ref.Validate(); err != nil {
		return invalid(op, err)
	}
	if ref.Version == "" {
		return nil
	}
	if versionlist.Number(ref.Version) == 0 {
		return invalid(op, faas.Errorf("workflow registry", "validate", "version", faas.ErrInvalidArgument, "%q is not a number from 1", ref.Version))
	}
	return nil
}

// Get implements workflow.Registry.
func (c *Catalog) Get(ctx context.Context, ref faas.Ref) (workflow.Definition, error) {
	const op = "get"
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.usable(ctx, op); err != nil {
		return workflow.Definition{}, err
	}
	if err := check(op, ref); err != nil {
		return workflow.Definition{}, err
	}
	f, i, err := c.lookup(op, ref)
	if err != nil {
		return workflow.Definition{}, err
	}
	return f.versions[i].definition, nil
}

// Delete implements workflow.Registry.
func (c *Catalog) Delete(ctx context.Context, ref faas.Ref) error {
	const op = "delete"
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(ctx, op); err != nil {
		return err
	}
	if err := check(op, ref); err != nil {
		return err
	}
	f, i, err := c.lookup(op, ref)
	if err != nil {
		return err
	}
	from, to := i, i+1
	if ref.Version == "" {
		from = 0
	}
	if c.keeper != nil {
		if err := c.keeper.Remove(ref.WithDefaults(), f.last); err != nil {
			return err
		}
	}
	f.versions = slices.Delete(f.versions, from, to)
	return nil
}

// Close implements io.Closer.
func (c *Catalog) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if c.keeper == nil {
		return nil
	}
	return c.keeper.Close()
}
