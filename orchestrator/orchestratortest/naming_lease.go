package orchestratortest

import (
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

const longTTL = time.Hour

var namingLeaseClauses = []clause[NamingHarness]{
	{"lease/ttl-is-positive", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		for _, ttl := range []time.Duration{0, -time.Second} {
			_, err := s.Grant(tb.Context(), ttl)
			wantClass(tb, err, faas.ErrInvalidArgument, "grant for "+ttl.String())
		}
		if a, b := grant(tb, s, longTTL), grant(tb, s, longTTL); a == b {
			tb.Error("two leases have the same id")
		}
	}},
	{"lease/entry-names-its-lease", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		id := grant(tb, s, longTTL)
		w := watch(tb, s, "a", 0)
		e := put(tb, s, "a", []byte("v"), &orchestrator.PutOptions{Lease: id})
		want := orchestrator.Entry{Name: "a", Value: []byte("v"), Revision: e.Revision, Lease: id}
		wantEntry(tb, e, want)
		wantEntry(tb, get(tb, s, "a"), want)
		w.wantPut(tb, want)
	}},
	{"lease/expiry-deletes-its-names", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		w := watch(tb, s, "a/", 0)
		begun := time.Now()
		o := &orchestrator.PutOptions{Lease: grant(tb, s, h.ttl())}
		put(tb, s, "other", nil, nil)
		w.wantPut(tb, put(tb, s, "a/1", nil, o))
		w.wantPut(tb, put(tb, s, "a/2", nil, o))
		seen := map[string]bool{w.deleted(tb): true}
		if took := time.Since(begun); took < h.ttl() {
			tb.Errorf("the lease of %v expired after %v", h.ttl(), took)
		}
		seen[w.deleted(tb)] = true
		if !seen["a/1"] || !seen["a/2"] {
			tb.Errorf("the names that went with the lease are %v", seen)
		}
		for _, name := range []string{"a/1", "a/2"} {
			_, err := s.Get(tb.Context(), name)
			wantClass(tb, err, faas.ErrNotFound, "get of "+name+" after its lease")
		}
		get(tb, s, "other")
		wantClass(tb, s.Renew(tb.Context(), o.Lease), faas.ErrNotFound, "renewal of an expired lease")
		wantClass(tb, s.Revoke(tb.Context(), o.Lease), faas.ErrNotFound, "revocation of an expired lease")
		_, err := s.Put(tb.Context(), "a/3", nil, o)
		wantClass(tb, err, faas.ErrNotFound, "put with an expired lease")
		_, err = s.Get(tb.Context(), "a/3")
		wantClass(tb, err, faas.ErrNotFound, "get of a name whose put was refused")
	}},
	{"lease/renewal-keeps-it", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		id := grant(tb, s, h.ttl())
		put(tb, s, "a", nil, &orchestrator.PutOptions{Lease: id})
		for range 6 { // three times its life
			<-time.After(h.ttl() / 2)
			ok(tb, s.Renew(tb.Context(), id), "renew")
		}
		get(tb, s, "a")
		watch(tb, s, "a", get(tb, s, "a").Revision).wantDeleted(tb, "a")
	}},
	{"lease/expires-each-for-itself", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		w := watch(tb, s, "a/", 0)
		late := grant(tb, s, 3*h.ttl())
		early := grant(tb, s, h.ttl())
		w.wantPut(tb, put(tb, s, "a/late", nil, &orchestrator.PutOptions{Lease: late}))
		w.wantPut(tb, put(tb, s, "a/early", nil, &orchestrator.PutOptions{Lease: early}))
		w.wantDeleted(tb, "a/early")
		get(tb, s, "a/late")
		w.wantDeleted(tb, "a/late")
	}},
	{"lease/revocation-deletes-at-once", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		w := watch(tb, s, "a", 0)
		id := grant(tb, s, longTTL)
		w.wantPut(tb, put(tb, s, "a", nil, &orchestrator.PutOptions{Lease: id}))
		ok(tb, s.Revoke(tb.Context(), id), "revoke")
		_, err := s.Get(tb.Context(), "a")
		wantClass(tb, err, faas.ErrNotFound, "get after the revocation")
		w.wantDeleted(tb, "a")
		wantClass(tb, s.Revoke(tb.Context(), id), faas.ErrNotFound, "a second revocation")
		wantClass(tb, s.Renew(tb.Context(), id), faas.ErrNotFound, "renewal of a revoked lease")
	}},
	{"lease/unknown", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		id := grant(tb, s, longTTL) + 1000
		wantClass(tb, s.Renew(tb.Context(), id), faas.ErrNotFound, "renewal of an unknown lease")
		wantClass(tb, s.Revoke(tb.Context(), id), faas.ErrNotFound, "revocation of an unknown lease")
		_, err := s.Put(tb.Context(), "a", nil, &orchestrator.PutOptions{Lease: id})
		wantClass(tb, err, faas.ErrNotFound, "put with an unknown lease")
	}},
	{"lease/each-put-sets-it-anew", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		first, second := grant(tb, s, longTTL), grant(tb, s, longTTL)
		for _, name := range []string{"freed", "moved", "kept"} {
			put(tb, s, name, nil, &orchestrator.PutOptions{Lease: first})
		}
		if e := put(tb, s, "freed", nil, nil); e.Lease != 0 {
			tb.Errorf("the entry has lease %d after a put without", e.Lease)
		}
		put(tb, s, "moved", nil, &orchestrator.PutOptions{Lease: second})
		ok(tb, s.Revoke(tb.Context(), first), "revoke")
		get(tb, s, "freed")
		get(tb, s, "moved")
		_, err := s.Get(tb.Context(), "kept")
		wantClass(tb, err, faas.ErrNotFound, "get of a name whose lease was revoked")
		ok(tb, s.Revoke(tb.Context(), second), "revoke")
		_, err = s.Get(tb.Context(), "moved")
		wantClass(tb, err, faas.ErrNotFound, "get of a name whose second lease was revoked")
		get(tb, s, "freed")
	}},
	{"lease/a-deleted-name-leaves-it", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		id := grant(tb, s, longTTL)
		put(tb, s, "a", nil, &orchestrator.PutOptions{Lease: id})
		ok(tb, s.Delete(tb.Context(), "a", nil), "delete")
		put(tb, s, "a", []byte("without"), nil)
		ok(tb, s.Revoke(tb.Context(), id), "revoke")
		get(tb, s, "a")
	}},
}

// deleted returns the name of the next event, which must be a deletion.
func (w *watching) deleted(tb testing.TB) string {
	tb.Helper()
	e := w.next(tb)
	if !e.Deleted {
		tb.Fatalf("the event is a put of %s, want a deletion", show(e.Entry))
	}
	return e.Entry.Name
}
