package registrytest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/recordtb"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/memcode"
)

// codeDouble is a correct code store of which single methods are replaced.
type codeDouble struct {
	registry.CodeStore
	put    func(context.Context, io.Reader) (registry.Blob, error)
	open   func(context.Context, faas.Digest) (io.ReadCloser, error)
	stat   func(context.Context, faas.Digest) (registry.Blob, error)
	delete func(context.Context, faas.Digest) error
	list   func(context.Context) iter.Seq2[registry.Blob, error]
	close  func() error
}

func (d *codeDouble) Put(ctx context.Context, r io.Reader) (registry.Blob, error) {
	return d.put(ctx, r)
}
func (d *codeDouble) Open(ctx context.Context, g faas.Digest) (io.ReadCloser, error) {
	return d.open(ctx, g)
}
func (d *codeDouble) Stat(ctx context.Context, g faas.Digest) (registry.Blob, error) {
	return d.stat(ctx, g)
}
func (d *codeDouble) Delete(ctx context.Context, g faas.Digest) error { return d.delete(ctx, g) }
func (d *codeDouble) List(ctx context.Context) iter.Seq2[registry.Blob, error] {
	return d.list(ctx)
}
func (d *codeDouble) Close() error { return d.close() }

func codeDoubleOf(s registry.CodeStore) *codeDouble {
	return &codeDouble{s, s.Put, s.Open, s.Stat, s.Delete, s.List, s.Close}
}

// keepsWhatCame stores what came before the source's error.
func keepsWhatCame(d *codeDouble) {
	d.put = func(ctx context.Context, r io.Reader) (registry.Blob, error) {
		b, err := io.ReadAll(r)
		blob, perr := d.CodeStore.Put(ctx, bytes.NewReader(b))
		if err != nil {
			return registry.Blob{}, faas.Errorf("code store", "put", "", faas.ErrInternal, "%w", err)
		}
		return blob, perr
	}
}

// unclassed takes the class from the errors of a call.
func unclassed(class error) func(error) error {
	return func(err error) error {
		if errors.Is(err, class) {
			return faas.Errorf("code store", "call", "", faas.ErrInternal, "%s", err)
		}
		return err
	}
}

var brokenCode = map[string][]func(d *codeDouble){
	"put/digest-and-size": {func(d *codeDouble) { // drops the last part of a large content
		d.put = func(ctx context.Context, r io.Reader) (registry.Blob, error) {
			return d.CodeStore.Put(ctx, io.LimitReader(r, 64<<10))
		}
	}, func(d *codeDouble) { // an empty content is an error
		d.put = func(ctx context.Context, r io.Reader) (registry.Blob, error) {
			b, err := d.CodeStore.Put(ctx, r)
			if err == nil && b.Size == 0 {
				err = faas.Errorf("code store", "put", "", faas.ErrInvalidArgument, "empty")
			}
			return b, err
		}
	}},
	"put/any-reader": {func(d *codeDouble) { // takes one read for all
		d.put = func(ctx context.Context, r io.Reader) (registry.Blob, error) {
			b := make([]byte, 1<<20)
			n, _ := r.Read(b)
			return d.CodeStore.Put(ctx, bytes.NewReader(b[:n]))
		}
	}, func(d *codeDouble) { // takes nothing for the end
		d.put = func(ctx context.Context, r io.Reader) (registry.Blob, error) {
			var all []byte
			for b := make([]byte, 1<<20); ; {
				n, err := r.Read(b)
				if all = append(all, b[:n]...); n == 0 || err != nil {
					return d.CodeStore.Put(ctx, bytes.NewReader(all))
				}
			}
		}
	}},
	"put/same-content-again": {func(d *codeDouble) {
		d.put = func(ctx context.Context, r io.Reader) (registry.Blob, error) {
			b, _ := io.ReadAll(r)
			if _, err := d.CodeStore.Stat(ctx, blobOf(b).Digest); err == nil {
				return registry.Blob{}, faas.Errorf("code store", "put", "", faas.ErrAlreadyExists, "it is there")
			}
			return d.CodeStore.Put(ctx, bytes.NewReader(b))
		}
	}},
	"put/failed-source-leaves-nothing": {keepsWhatCame},
	"put/cancelled-leaves-nothing": {func(d *codeDouble) {
		d.put = func(ctx context.Context, r io.Reader) (registry.Blob, error) {
			var buf bytes.Buffer
			b, err := d.CodeStore.Put(ctx, io.TeeReader(r, &buf))
			if err != nil {
				_, _ = d.CodeStore.Put(context.WithoutCancel(ctx), &buf)
			}
			return b, err
		}
	}},
	"put/invisible-until-complete": {func(d *codeDouble) { // stores each part as it comes
		d.put = func(ctx context.Context, r io.Reader) (registry.Blob, error) {
			var all []byte
			for b := make([]byte, 1<<20); ; {
				n, err := r.Read(b)
				all = append(all, b[:n]...)
				blob, perr := d.CodeStore.Put(ctx, bytes.NewReader(all))
				if err != nil {
					return blob, perr
				}
			}
		}
	}},
	"open/many-readers": {func(d *codeDouble) { // all readers share one place
		var mu sync.Mutex
		readers := make(map[faas.Digest]io.ReadCloser)
		d.open = func(ctx context.Context, g faas.Digest) (io.ReadCloser, error) {
			mu.Lock()
			defer mu.Unlock()
			if readers[g] == nil {
				r, err := d.CodeStore.Open(ctx, g)
				if err != nil {
					return nil, err
				}
				readers[g] = io.NopCloser(&locked{mu: &mu, Reader: r})
			}
			return readers[g], nil
		}
	}},
	"open/close-in-the-middle": {func(d *codeDouble) { // gives up a blob that was not read to its end
		d.open = func(ctx context.Context, g faas.Digest) (io.ReadCloser, error) {
			r, err := d.CodeStore.Open(ctx, g)
			if err == nil {
				r = &onClose{r, func() { _ = d.CodeStore.Delete(ctx, g) }}
			}
			return r, err
		}
	}},
	"open/a-delete-does-not-disturb": {func(d *codeDouble) { // reads again each time
		d.open = func(ctx context.Context, g faas.Digest) (io.ReadCloser, error) {
			r, err := d.CodeStore.Open(ctx, g)
			if err != nil {
				return nil, err
			}
			return io.NopCloser(readerFunc(func(p []byte) (int, error) {
				if _, err := d.CodeStore.Stat(ctx, g); err != nil {
					return 0, err
				}
				return r.Read(p)
			})), nil
		}
	}},
	"open/not-found": {func(d *codeDouble) { // a delete is a success in any case
		d.delete = func(ctx context.Context, g faas.Digest) error {
			if err := d.CodeStore.Delete(ctx, g); faas.Class(err) != faas.ErrNotFound {
				return err
			}
			return nil
		}
	}, func(d *codeDouble) { // finds it only when it is read
		d.open = func(ctx context.Context, g faas.Digest) (io.ReadCloser, error) {
			r, err := d.CodeStore.Open(ctx, g)
			if faas.Class(err) == faas.ErrNotFound {
				return io.NopCloser(strings.NewReader("")), nil
			}
			return r, err
		}
	}},
	"open/bad-digests": {func(d *codeDouble) {
		d.stat = func(ctx context.Context, g faas.Digest) (registry.Blob, error) {
			b, err := d.CodeStore.Stat(ctx, faas.Digest(strings.ToLower(string(g))))
			return b, err
		}
	}, func(d *codeDouble) {
		d.open = func(ctx context.Context, g faas.Digest) (io.ReadCloser, error) {
			r, err := d.CodeStore.Open(ctx, g)
			return r, unclassed(faas.ErrInvalidArgument)(err)
		}
	}},
	"list/order": {func(d *codeDouble) {
		d.list = func(ctx context.Context) iter.Seq2[registry.Blob, error] {
			return func(yield func(registry.Blob, error) bool) {
				var all []registry.Blob
				for b := range d.CodeStore.List(ctx) {
					all = append([]registry.Blob{b}, all...)
				}
				for _, b := range all {
					if !yield(b, nil) {
						return
					}
				}
			}
		}
	}, func(d *codeDouble) { // without sizes
		d.list = func(ctx context.Context) iter.Seq2[registry.Blob, error] {
			return func(yield func(registry.Blob, error) bool) {
				for b, err := range d.CodeStore.List(ctx) {
					if b.Size = 0; !yield(b, err) {
						return
					}
				}
			}
		}
	}},
	"list/calls-while-listing": {func(d *codeDouble) { // does not look at the context
		d.list = func(ctx context.Context) iter.Seq2[registry.Blob, error] {
			return func(yield func(registry.Blob, error) bool) {
				for b, err := range d.CodeStore.List(ctx) {
					if err != nil {
						err = nil
					}
					if !yield(b, err) {
						return
					}
				}
			}
		}
	}},
	"limit/refuses-what-does-not-fit": {func(d *codeDouble) { // counts what is there already twice
		d.put = func(ctx context.Context, r io.Reader) (registry.Blob, error) {
			b, err := io.ReadAll(io.LimitReader(r, 2000))
			var stored int64
			for blob := range d.CodeStore.List(ctx) {
				stored += blob.Size
			}
			if stored += int64(len(b)); err == nil && stored > 1000 {
				return registry.Blob{}, faas.Errorf("code store", "put", "", faas.ErrExhausted, "full")
			}
			return d.CodeStore.Put(ctx, bytes.NewReader(b))
		}
	}},
	"concurrency/same-content": {func(d *codeDouble) { // what is under way is a conflict
		var mu sync.Mutex
		d.put = func(ctx context.Context, r io.Reader) (registry.Blob, error) {
			if !mu.TryLock() {
				return registry.Blob{}, faas.Errorf("code store", "put", "", faas.ErrConflict, "under way")
			}
			defer mu.Unlock()
			time.Sleep(time.Millisecond) // in virtual time: until all others have come
			return d.CodeStore.Put(ctx, r)
		}
	}},
	"concurrency/hammer": {func(d *codeDouble) { // a delete takes the neighbours along
		d.delete = func(ctx context.Context, g faas.Digest) error {
			for b := range d.CodeStore.List(ctx) {
				_ = d.CodeStore.Delete(ctx, b.Digest)
			}
			return nil
		}
	}},
	"lifecycle/closed": {func(d *codeDouble) {
		d.list = func(ctx context.Context) iter.Seq2[registry.Blob, error] {
			return func(yield func(registry.Blob, error) bool) {
				for b, err := range d.CodeStore.List(ctx) {
					if err != nil || !yield(b, err) {
						return
					}
				}
			}
		}
	}, func(d *codeDouble) {
		d.stat = func(ctx context.Context, g faas.Digest) (registry.Blob, error) {
			b, err := d.CodeStore.Stat(ctx, g)
			return b, unclassed(faas.ErrClosed)(err)
		}
	}},
}

// TestEveryClauseNoticesABrokenCodeStore also covers the two clauses whose doubles are no wrappers.
func TestEveryClauseNoticesABrokenCodeStore(t *testing.T) {
	all := make(map[string][]CodeHarness)
	for name, spoilers := range brokenCode {
		for _, spoil := range spoilers {
			limited := func(_ testing.TB, maxBytes int64) registry.CodeStore {
				d := codeDoubleOf(memcode.New(&memcode.Options{MaxBytes: maxBytes}))
				spoil(d)
				return d
			}
			open := func(tb testing.TB) registry.CodeStore { return limited(tb, 0) }
			all[name] = append(all[name], CodeHarness{Open: open, OpenLimited: limited})
		}
	}
	unlimited := func(testing.TB, int64) registry.CodeStore { return memcode.New(nil) }
	all["limit/refuses-what-does-not-fit"] = append(all["limit/refuses-what-does-not-fit"], CodeHarness{
		OpenLimited: func(_ testing.TB, maxBytes int64) registry.CodeStore {
			return memcode.New(&memcode.Options{MaxBytes: maxBytes + 1})
		},
	})
	all["limit/holds-under-concurrency"] = []CodeHarness{{OpenLimited: unlimited}}
	for _, forget := range []bool{true, false} {
		h := lasting()
		reopen := h.Reopen
		h.Reopen = func(tb testing.TB, s registry.CodeStore) registry.CodeStore {
			if forget {
				return memcode.New(nil)
			}
			s = reopen(tb, s)
			_, _ = s.Put(context.Background(), bytes.NewReader(content(9, 10))) // what was deleted
			return s
		}
		all["durability/reopen"] = append(all["durability/reopen"], h)
	}
	recordtb.WantNoticed(t, codeClauses, all)
}

// lasting is a harness of stores that outlive their Close, as if they were stored.
func lasting() CodeHarness {
	keep := func(s registry.CodeStore) registry.CodeStore {
		d := codeDoubleOf(s)
		d.close = func() error { return nil }
		return d
	}
	return CodeHarness{
		Open: func(testing.TB) registry.CodeStore { return keep(memcode.New(nil)) },
		Reopen: func(_ testing.TB, s registry.CodeStore) registry.CodeStore {
			return keep(s.(*codeDouble).CodeStore)
		},
	}
}

func TestEveryCodeClausePassesACorrectStore(t *testing.T) {
	reopen := slices.IndexFunc(codeClauses, func(c codeClause) bool { return c.Name == "durability/reopen" })
	recordtb.WantPassed(t, codeClauses[reopen:reopen+1], lasting())
	RunCode(t, CodeHarness{
		Open: func(testing.TB) registry.CodeStore { return codeDoubleOf(memcode.New(nil)) },
		OpenLimited: func(_ testing.TB, maxBytes int64) registry.CodeStore {
			return codeDoubleOf(memcode.New(&memcode.Options{MaxBytes: maxBytes}))
		},
		Skip: map[string]string{"durability/reopen": "a store in memory"},
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type locked struct {
	mu *sync.Mutex
	io.Reader
}

func (l *locked) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Reader.Read(p)
}

type onClose struct {
	io.ReadCloser
	f func()
}

func (c *onClose) Close() error {
	c.f()
	return c.ReadCloser.Close()
}
