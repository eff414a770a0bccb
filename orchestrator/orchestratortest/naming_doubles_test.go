package orchestratortest

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/recordtb"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/memnaming"
)

// namingDouble is a correct service but for what a test overrides.
type namingDouble struct {
	orchestrator.NamingService
	put    func(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error)
	get    func(ctx context.Context, name string) (orchestrator.Entry, error)
	list   func(ctx context.Context, prefix string) ([]orchestrator.Entry, faas.Revision, error)
	delete func(ctx context.Context, name string, o *orchestrator.DeleteOptions) error
	watch  func(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error]
	grant  func(ctx context.Context, ttl time.Duration) (orchestrator.LeaseID, error)
	renew  func(ctx context.Context, id orchestrator.LeaseID) error
	revoke func(ctx context.Context, id orchestrator.LeaseID) error
}

func doubleNaming() *namingDouble {
	s := memnaming.New(&memnaming.Options{History: testHistory})
	return &namingDouble{s, s.Put, s.Get, s.List, s.Delete, s.Watch, s.Grant, s.Renew, s.Revoke}
}

func (d *namingDouble) Put(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
	return d.put(ctx, name, value, o)
}
func (d *namingDouble) Get(ctx context.Context, name string) (orchestrator.Entry, error) {
	return d.get(ctx, name)
}
func (d *namingDouble) List(ctx context.Context, prefix string) ([]orchestrator.Entry, faas.Revision, error) {
	return d.list(ctx, prefix)
}
func (d *namingDouble) Delete(ctx context.Context, name string, o *orchestrator.DeleteOptions) error {
	return d.delete(ctx, name, o)
}
func (d *namingDouble) Watch(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error] {
	return d.watch(ctx, prefix, after)
}
func (d *namingDouble) Grant(ctx context.Context, ttl time.Duration) (orchestrator.LeaseID, error) {
	return d.grant(ctx, ttl)
}
func (d *namingDouble) Renew(ctx context.Context, id orchestrator.LeaseID) error {
	return d.renew(ctx, id)
}
func (d *namingDouble) Revoke(ctx context.Context, id orchestrator.LeaseID) error {
	return d.revoke(ctx, id)
}

const testHistory = 200

// events changes what a watch delivers; change returns false to drop an event.
func (d *namingDouble) events(change func(e *orchestrator.Event) bool) {
	watch := d.watch
	d.watch = func(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error] {
		return func(yield func(orchestrator.Event, error) bool) {
			for e, err := range watch(ctx, prefix, after) {
				if (err != nil || change(&e)) && !yield(e, err) {
					return
				}
			}
		}
	}
}

// puts changes what a put is asked.
func (d *namingDouble) puts(change func(name *string, value *[]byte, o *orchestrator.PutOptions)) {
	put := d.put
	d.put = func(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
		var own orchestrator.PutOptions
		if o != nil {
			own = *o
		}
		change(&name, &value, &own)
		return put(ctx, name, value, &own)
	}
}

var brokenNaming = map[string]func(d *namingDouble){
	"put/get-finds-what-was-put": func(d *namingDouble) {
		get := d.get
		d.get = func(ctx context.Context, name string) (orchestrator.Entry, error) {
			e, err := get(ctx, name)
			e.Revision++
			return e, err
		}
	},
	"put/replaces": func(d *namingDouble) { // keeps the first value
		put := d.put
		d.put = func(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
			if old, err := d.get(ctx, name); err == nil {
				value = old.Value
			}
			return put(ctx, name, value, o)
		}
	},
	"put/keeps-its-own-copy": func(d *namingDouble) {
		var latest []byte
		put, get := d.put, d.get
		d.put = func(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
			latest = value
			return put(ctx, name, value, o)
		}
		d.get = func(ctx context.Context, name string) (orchestrator.Entry, error) {
			e, err := get(ctx, name)
			e.Value = latest
			return e, err
		}
	},
	"get/not-found": func(d *namingDouble) { // an empty entry for what is not there
		get := d.get
		d.get = func(ctx context.Context, name string) (orchestrator.Entry, error) {
			e, err := get(ctx, name)
			if errors.Is(err, faas.ErrNotFound) {
				return e, nil
			}
			return e, err
		}
	},
	"names/any-text-is-a-name": func(d *namingDouble) { // cleans names
		d.puts(func(name *string, _ *[]byte, _ *orchestrator.PutOptions) { *name = strings.ToLower(*name) })
	},
	"names/limits": func(d *namingDouble) { // cuts what is too long
		d.puts(func(name *string, _ *[]byte, _ *orchestrator.PutOptions) {
			*name = (*name)[:min(len(*name), orchestrator.MaxNameBytes)]
		})
	},
	"delete/removes": func(d *namingDouble) {
		d.delete = func(ctx context.Context, name string, _ *orchestrator.DeleteOptions) error {
			_, err := d.get(ctx, name)
			return err
		}
	},
	"delete/not-found": func(d *namingDouble) {
		del := d.delete
		d.delete = func(ctx context.Context, name string, o *orchestrator.DeleteOptions) error {
			if err := del(ctx, name, o); !errors.Is(err, faas.ErrNotFound) {
				return err
			}
			return nil
		}
	},
	"revisions/every-change-has-a-later-one": func(d *namingDouble) { // an equal value is no change
		put := d.put
		d.put = func(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
			if old, err := d.get(ctx, name); err == nil && bytes.Equal(old.Value, value) {
				return old, nil
			}
			return put(ctx, name, value, o)
		}
	},
	"swap/create-only": func(d *namingDouble) { // 0 means no condition
		d.puts(func(_ *string, _ *[]byte, o *orchestrator.PutOptions) {
			if o.IfRevision != nil && *o.IfRevision == 0 {
				o.IfRevision = nil
			}
		})
	},
	"swap/put-if-unchanged": func(d *namingDouble) { // only wants it to exist
		d.puts(func(name *string, _ *[]byte, o *orchestrator.PutOptions) {
			if o.IfRevision != nil && *o.IfRevision != 0 {
				if e, err := d.get(context.Background(), *name); err == nil {
					o.IfRevision = &e.Revision
				}
			}
		})
	},
	"swap/delete-if-unchanged": func(d *namingDouble) {
		del := d.delete
		d.delete = func(ctx context.Context, name string, _ *orchestrator.DeleteOptions) error {
			return del(ctx, name, nil)
		}
	},
	"list/order-and-prefix": func(d *namingDouble) { // takes a prefix for a directory
		list := d.list
		d.list = func(ctx context.Context, prefix string) ([]orchestrator.Entry, faas.Revision, error) {
			if prefix != "" && !strings.HasSuffix(prefix, "/") {
				prefix += "/"
			}
			return list(ctx, prefix)
		}
	},
	"list/many": func(d *namingDouble) { // one page
		list := d.list
		d.list = func(ctx context.Context, prefix string) ([]orchestrator.Entry, faas.Revision, error) {
			es, r, err := list(ctx, prefix)
			return es[:min(len(es), 1000)], r, err
		}
	},
	"list/revision-is-where-a-watch-goes-on": func(d *namingDouble) { // the revision of the last entry listed
		list := d.list
		d.list = func(ctx context.Context, prefix string) ([]orchestrator.Entry, faas.Revision, error) {
			es, r, err := list(ctx, prefix)
			return es, r + 1, err
		}
	},
	"watch/order-without-gaps": func(d *namingDouble) { // folds changes of one name
		var last string
		d.events(func(e *orchestrator.Event) bool {
			same := e.Entry.Name == last || string(e.Entry.Value) == "100"
			last = e.Entry.Name
			return !same
		})
	},
	"watch/from-a-revision": func(d *namingDouble) { // from it rather than after it
		watch := d.watch
		d.watch = func(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error] {
			return watch(ctx, prefix, max(after, 1)-1)
		}
	},
	"watch/prefix": func(d *namingDouble) {
		watch := d.watch
		d.watch = func(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error] {
			return watch(ctx, prefix[:max(len(prefix)-1, 0)], after)
		}
	},
	"watch/deletions": func(d *namingDouble) {
		d.events(func(e *orchestrator.Event) bool { return !e.Deleted })
	},
	"watch/refused-changes-are-not-seen": func(d *namingDouble) { // a refused put is a change of nothing
		put := d.put
		d.put = func(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
			e, err := put(ctx, name, value, o)
			if errors.Is(err, faas.ErrConflict) {
				if old, getErr := d.get(ctx, name); getErr == nil {
					_, _ = put(ctx, name, old.Value, nil)
				}
			}
			return e, err
		}
	},
	"watch/compacted": func(d *namingDouble) { // begins where it can
		watch := d.watch
		d.watch = func(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error] {
			_, r, _ := d.list(ctx, "")
			if r > testHistory {
				after = max(after, r-testHistory)
			}
			return watch(ctx, prefix, after)
		}
	},
	"watch/cancel": func(d *namingDouble) { d.watchEnds(faas.ErrCanceled, nil) },
	"watch/deadline": func(d *namingDouble) {
		d.watchEnds(faas.ErrTimeout, faas.Errorf("double", "watch", "", faas.ErrCanceled, "ended"))
	},
	"watch/close": func(d *namingDouble) { d.watchEnds(faas.ErrClosed, nil) },
	"watch/the-reader-may-stop": func(d *namingDouble) { // can be read once
		watch := d.watch
		d.watch = func(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error] {
			var used atomic.Bool
			seq := watch(ctx, prefix, after)
			return func(yield func(orchestrator.Event, error) bool) {
				if !used.Swap(true) {
					seq(yield)
				}
			}
		}
	},
	"watch/a-reader-that-waits-holds-up-nobody": func(d *namingDouble) { // one reader at a time
		watch := d.watch
		slot := make(chan struct{}, 1)
		d.watch = func(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error] {
			return func(yield func(orchestrator.Event, error) bool) {
				watch(ctx, prefix, after)(func(e orchestrator.Event, err error) bool {
					slot <- struct{}{}
					defer func() { <-slot }()
					return yield(e, err)
				})
			}
		}
	},
	"lease/ttl-is-positive": func(d *namingDouble) {
		grant := d.grant
		d.grant = func(ctx context.Context, ttl time.Duration) (orchestrator.LeaseID, error) {
			return grant(ctx, max(ttl, time.Second))
		}
	},
	"lease/entry-names-its-lease": func(d *namingDouble) {
		d.events(func(e *orchestrator.Event) bool { e.Entry.Lease = 0; return true })
	},
	"lease/expiry-deletes-its-names": func(d *namingDouble) { // too soon
		grant := d.grant
		d.grant = func(ctx context.Context, ttl time.Duration) (orchestrator.LeaseID, error) {
			if ttl > 0 {
				ttl = max(ttl-ttl/10, 1)
			}
			return grant(ctx, ttl)
		}
	},
	"lease/renewal-keeps-it": func(d *namingDouble) {
		d.renew = func(ctx context.Context, id orchestrator.LeaseID) error { return nil }
	},
	"lease/expires-each-for-itself": func(d *namingDouble) { // never
		grant := d.grant
		d.grant = func(ctx context.Context, ttl time.Duration) (orchestrator.LeaseID, error) {
			return grant(ctx, 1000*time.Hour)
		}
	},
	"lease/revocation-deletes-at-once": func(d *namingDouble) {
		revoke := d.revoke
		d.revoke = func(ctx context.Context, id orchestrator.LeaseID) error {
			time.AfterFunc(time.Second, func() { _ = revoke(ctx, id) })
			return nil
		}
	},
	"lease/unknown": func(d *namingDouble) { // ignores a lease that it does not know
		put := d.put
		d.put = func(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
			e, err := put(ctx, name, value, o)
			if errors.Is(err, faas.ErrNotFound) {
				return put(ctx, name, value, nil)
			}
			return e, err
		}
	},
	"lease/each-put-sets-it-anew": func(d *namingDouble) { // a put without a lease keeps the old one
		d.puts(func(name *string, _ *[]byte, o *orchestrator.PutOptions) {
			if e, err := d.get(context.Background(), *name); err == nil && o.Lease == 0 {
				o.Lease = e.Lease
			}
		})
	},
	"lease/a-deleted-name-leaves-it": func(d *namingDouble) { // remembers the lease of a name for ever
		leases := map[string]orchestrator.LeaseID{}
		d.puts(func(name *string, _ *[]byte, o *orchestrator.PutOptions) {
			if o.Lease == 0 {
				o.Lease = leases[*name]
			}
			leases[*name] = o.Lease
		})
	},
	"concurrency/exactly-one-winner": func(d *namingDouble) { racyCondition(d) },
	"concurrency/no-update-is-lost":  func(d *namingDouble) { racyCondition(d) },
	"concurrency/all-watches-see-the-same": func(d *namingDouble) { // every second watch misses changes
		watch := d.watch
		var n atomic.Int32
		d.watch = func(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error] {
			if n.Add(1)%2 == 0 {
				other := doubleNaming()
				other.watch = watch
				other.events(func(e *orchestrator.Event) bool { return e.Entry.Revision%10 != 0 })
				return other.watch(ctx, prefix, after)
			}
			return watch(ctx, prefix, after)
		}
	},
	"context/an-ended-call-changes-nothing": func(d *namingDouble) {
		put := d.put
		d.put = func(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
			return put(context.WithoutCancel(ctx), name, value, o)
		}
	},
	"lifecycle/closed": func(d *namingDouble) {
		get := d.get
		d.get = func(ctx context.Context, name string) (orchestrator.Entry, error) {
			e, err := get(ctx, name)
			if errors.Is(err, faas.ErrClosed) {
				return e, nil
			}
			return e, err
		}
	},
}

// watchEnds gives watches that end with the class another error to end with, or none.
func (d *namingDouble) watchEnds(class, with error) {
	watch := d.watch
	d.watch = func(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error] {
		return func(yield func(orchestrator.Event, error) bool) {
			for e, err := range watch(ctx, prefix, after) {
				if errors.Is(err, class) {
					if err = with; err == nil {
						return
					}
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// racyCondition checks first and puts later.
func racyCondition(d *namingDouble) {
	put := d.put
	d.put = func(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
		if o == nil || o.IfRevision == nil {
			return put(ctx, name, value, o)
		}
		e, _ := d.get(ctx, name)
		if e.Revision != *o.IfRevision {
			return e, faas.Errorf("double", "put", name, faas.ErrConflict, "changed")
		}
		<-time.After(time.Millisecond)
		return put(ctx, name, value, nil)
	}
}

func namingHarness(change func(d *namingDouble)) NamingHarness {
	return NamingHarness{
		Open: func(testing.TB) orchestrator.NamingService {
			d := doubleNaming()
			change(d)
			return d
		},
		InBubble: true,
		History:  testHistory,
	}
}

func TestNamingKitPassesACorrectService(t *testing.T) {
	RunNaming(t, namingHarness(func(*namingDouble) {}))
}

func TestNamingKitFindsEveryBrokenPromise(t *testing.T) {
	proven := make([]string, 0, len(brokenNaming))
	for _, c := range namingClauses() {
		change := brokenNaming[c.name]
		if change == nil {
			t.Errorf("%s: there is no double that breaks it", c.name)
			continue
		}
		proven = append(proven, c.name)
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := recordtb.Run(t, func(tb testing.TB) { c.check(tb, namingHarness(change)) })
				if !r.Failed() {
					t.Error("the kit passes a service that breaks this promise")
				}
			})
		})
	}
	for name := range brokenNaming {
		if !slices.Contains(proven, name) {
			t.Errorf("%s is no clause", name)
		}
	}
}
