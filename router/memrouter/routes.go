package memrouter

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/joinery/faas"
)

// routes caches resolutions: what a caller's Ref (with an alias, or without a version)
// stands for. Readers take no lock: they read an immutable map; additions go to a
// second map that takes its place after a number of misses, as in the first
// design of sync.Map, typed so that a look-up allocates nothing.
type routes struct {
	read atomic.Pointer[map[faas.Ref]*route]

	mu     sync.Mutex
	dirty  map[faas.Ref]*route // a superset of read, or nil
	misses int
	byName map[faas.Ref][]*route // the live routes of each function, by its unversioned Ref
	gen    uint64                // counts invalidations
	closed bool
}

// route is one cached resolution; its function is nil once it is no longer valid.
type route struct {
	f    atomic.Pointer[function]
	live bool // it is in byName; guarded by routes.mu
}

func newRoutes() *routes {
	t := &routes{byName: map[faas.Ref][]*route{}}
	t.read.Store(&map[faas.Ref]*route{})
	return t
}

// get returns the function that ref stands for, or nil when that has to be asked.
func (t *routes) get(ref faas.Ref) *function {
	if rt := (*t.read.Load())[ref]; rt != nil {
		return rt.f.Load()
	}
	return nil
}

// getSlow also looks at what was added of late. The generation goes to put.
func (t *routes) getSlow(ref faas.Ref) (*function, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rt := t.find(ref); rt != nil {
		t.missed()
		return rt.f.Load(), t.gen
	}
	return nil, t.gen
}

func (t *routes) find(ref faas.Ref) *route {
	if t.dirty != nil {
		return t.dirty[ref]
	}
	return (*t.read.Load())[ref]
}

// missed publishes the additions once readers have missed them often enough to pay for the next copy.
func (t *routes) missed() {
	if t.dirty == nil {
		return
	}
	if t.misses++; t.misses > len(t.dirty)/8 {
		dirty := t.dirty
		t.read.Store(&dirty)
		t.dirty, t.misses = nil, 0
	}
}

// put remembers that ref stands for f, unless something was invalidated since gen:
// the answer may be older than that change.
func (t *routes) put(ref faas.Ref, f *function, gen uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || gen != t.gen {
		return
	}
	rt := t.find(ref)
	if rt == nil {
		rt = &route{}
		if t.dirty == nil {
			t.dirty = make(map[faas.Ref]*route, len(t.byName)+1)
			for k, v := range *t.read.Load() {
				if v.live {
					t.dirty[k] = v
				}
			}
		}
		// The caller's strings may be pieces of a large buffer: keep the registry's.
		key := faas.Ref{Name: f.fn.Ref.Name, Version: strings.Clone(ref.Version)}
		if ref.Namespace != "" {
			key.Namespace = f.fn.Ref.Namespace
		}
		t.dirty[key] = rt
	}
	rt.f.Store(f)
	if !rt.live {
		rt.live = true
		name := f.fn.Ref.Unversioned()
		t.byName[name] = append(t.byName[name], rt)
	}
	t.missed()
}

// invalidate forgets every resolution of the function with that name.
func (t *routes) invalidate(ref faas.Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gen++
	t.drop(ref.WithDefaults().Unversioned())
}

// clear forgets every resolution.
func (t *routes) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gen++
	for name := range t.byName {
		t.drop(name)
	}
}

// close forgets every resolution for good.
func (t *routes) close() {
	t.clear()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

func (t *routes) drop(name faas.Ref) {
	for _, rt := range t.byName[name] {
		rt.f.Store(nil)
		rt.live = false
	}
	delete(t.byName, name)
}
