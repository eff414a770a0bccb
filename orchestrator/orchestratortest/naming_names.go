package orchestratortest

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

var namingNameClauses = []clause[NamingHarness]{
	{"put/get-finds-what-was-put", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		put(tb, s, "other", []byte("x"), nil)
		e := put(tb, s, "nodes/n1", []byte("v1"), nil)
		if e.Revision == 0 {
			tb.Error("the revision of a change is 0, which is before any change")
		}
		want := orchestrator.Entry{Name: "nodes/n1", Value: []byte("v1"), Revision: e.Revision}
		wantEntry(tb, e, want)
		wantEntry(tb, get(tb, s, "nodes/n1"), want)
	}},
	{"put/replaces", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		put(tb, s, "a", []byte("v1"), nil)
		e := put(tb, s, "a", []byte("v2"), nil)
		wantEntry(tb, get(tb, s, "a"), orchestrator.Entry{Name: "a", Value: []byte("v2"), Revision: e.Revision})
		put(tb, s, "a", nil, nil)
		if e := get(tb, s, "a"); len(e.Value) != 0 {
			tb.Errorf("the value is %q after a put of an empty one", e.Value)
		}
	}},
	{"put/keeps-its-own-copy", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		value := []byte("value")
		put(tb, s, "a", value, nil)
		copy(value, "VALUE")
		if e := get(tb, s, "a"); string(e.Value) != "value" {
			tb.Errorf("the value became %q when the caller used its bytes anew", e.Value)
		}
	}},
	{"get/not-found", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		put(tb, s, "a/b", nil, nil)
		for _, name := range []string{"b", "a", "a/", "a/bc", ""} {
			_, err := s.Get(tb.Context(), name)
			wantClass(tb, err, faas.ErrNotFound, "get of "+strconv.Quote(name)+", which was never put")
		}
	}},
	{"names/any-text-is-a-name", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		names := []string{"a", "a/", "/a", "a//b", " ", "ä", "a\x00b", "A", strings.Repeat("n", orchestrator.MaxNameBytes)}
		for i, name := range names {
			put(tb, s, name, []byte(itoa(int64(i))), nil)
		}
		for i, name := range names {
			if e := get(tb, s, name); string(e.Value) != itoa(int64(i)) || e.Name != name {
				tb.Errorf("%q holds %s, want the value %d", name, show(e), i)
			}
		}
	}},
	{"names/limits", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		for _, c := range []struct {
			what, name string
			value      []byte
		}{
			{"an empty name", "", nil},
			{"a name that is too long", strings.Repeat("n", orchestrator.MaxNameBytes+1), nil},
			{"a value that is too long", "a", make([]byte, orchestrator.MaxValueBytes+1)},
		} {
			_, err := s.Put(tb.Context(), c.name, c.value, nil)
			wantClass(tb, err, faas.ErrInvalidArgument, "put of "+c.what)
		}
		if list, _, err := s.List(tb.Context(), ""); err != nil || len(list) > 0 {
			tb.Errorf("refused puts left %d names, %v", len(list), err)
		}
		most := bytes.Repeat([]byte{7}, orchestrator.MaxValueBytes)
		put(tb, s, "a", most, nil)
		if e := get(tb, s, "a"); !bytes.Equal(e.Value, most) {
			tb.Errorf("the longest value came back as %d bytes", len(e.Value))
		}
	}},
	{"delete/removes", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		put(tb, s, "a", nil, nil)
		put(tb, s, "ab", nil, nil)
		ok(tb, s.Delete(tb.Context(), "a", nil), "delete")
		_, err := s.Get(tb.Context(), "a")
		wantClass(tb, err, faas.ErrNotFound, "get after delete")
		get(tb, s, "ab")
	}},
	{"delete/not-found", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		put(tb, s, "a", nil, nil)
		ok(tb, s.Delete(tb.Context(), "a", nil), "delete")
		for _, name := range []string{"a", "never"} {
			wantClass(tb, s.Delete(tb.Context(), name, nil), faas.ErrNotFound, "delete of "+name)
		}
	}},
	{"revisions/every-change-has-a-later-one", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		var last faas.Revision
		later := func(doing string, r faas.Revision) {
			tb.Helper()
			if r <= last {
				tb.Errorf("%s: the revision is %d, not after %d", doing, r, last)
			}
			last = r
		}
		at := func() faas.Revision {
			_, r, err := s.List(tb.Context(), "")
			ok(tb, err, "list")
			return r
		}
		later("put", put(tb, s, "a", nil, nil).Revision)
		later("put of another name", put(tb, s, "b", nil, nil).Revision)
		later("put of the same value", put(tb, s, "a", nil, nil).Revision)
		if r := at(); r != last {
			tb.Errorf("list is at revision %d after the change %d", r, last)
		}
		ok(tb, s.Delete(tb.Context(), "a", nil), "delete")
		later("delete", at())
		later("put of a deleted name", put(tb, s, "a", nil, nil).Revision)
		_, _ = s.Get(tb.Context(), "a")
		_ = s.Delete(tb.Context(), "never", nil)
		if r := at(); r != last {
			tb.Errorf("reads and refused calls moved the revision from %d to %d", last, r)
		}
		if e := get(tb, s, "b"); e.Revision >= last {
			tb.Errorf("the revision of b is %d though only a changed", e.Revision)
		}
	}},
}

var namingSwapClauses = []clause[NamingHarness]{
	{"swap/create-only", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		absent := &orchestrator.PutOptions{IfRevision: new(faas.Revision)}
		put(tb, s, "a", []byte("first"), absent)
		_, err := s.Put(tb.Context(), "a", []byte("second"), absent)
		wantClass(tb, err, faas.ErrConflict, "creating a name that exists")
		if e := get(tb, s, "a"); string(e.Value) != "first" {
			tb.Errorf("the refused put changed the value to %q", e.Value)
		}
		ok(tb, s.Delete(tb.Context(), "a", nil), "delete")
		put(tb, s, "a", []byte("third"), absent)
	}},
	{"swap/put-if-unchanged", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		old := put(tb, s, "a", []byte("1"), nil).Revision
		current := put(tb, s, "a", []byte("2"), &orchestrator.PutOptions{IfRevision: &old}).Revision
		other := put(tb, s, "b", nil, nil).Revision
		future := other + 1
		for doing, r := range map[string]*faas.Revision{"an old": &old, "another name's": &other, "a future": &future} {
			_, err := s.Put(tb.Context(), "a", []byte("x"), &orchestrator.PutOptions{IfRevision: r})
			wantClass(tb, err, faas.ErrConflict, "put with "+doing+" revision")
		}
		_, err := s.Put(tb.Context(), "never", nil, &orchestrator.PutOptions{IfRevision: &current})
		wantClass(tb, err, faas.ErrConflict, "put of a name that should exist")
		wantEntry(tb, get(tb, s, "a"), orchestrator.Entry{Name: "a", Value: []byte("2"), Revision: current})
	}},
	{"swap/delete-if-unchanged", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		old := put(tb, s, "a", nil, nil).Revision
		current := put(tb, s, "a", nil, nil).Revision
		wantClass(tb, s.Delete(tb.Context(), "a", &orchestrator.DeleteOptions{IfRevision: &old}), faas.ErrConflict, "delete with an old revision")
		get(tb, s, "a")
		ok(tb, s.Delete(tb.Context(), "a", &orchestrator.DeleteOptions{IfRevision: &current}), "delete with the current revision")
		wantClass(tb, s.Delete(tb.Context(), "a", &orchestrator.DeleteOptions{IfRevision: &current}), faas.ErrNotFound, "deleting it again")
	}},
}

var namingListClauses = []clause[NamingHarness]{
	{"list/order-and-prefix", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		for _, name := range []string{"b/2", "a", "b/10", "c", "b", "b/1", "b0", "B/1"} {
			put(tb, s, name, []byte(name), nil)
		}
		for prefix, want := range map[string]string{
			"b/": "b/1 b/10 b/2", "b": "b b/1 b/10 b/2 b0", "b/1": "b/1 b/10", "": "B/1 a b b/1 b/10 b/2 b0 c", "x": "", "b/1/": "",
		} {
			entries, _, err := s.List(tb.Context(), prefix)
			ok(tb, err, "list")
			names := make([]string, 0, len(entries))
			for _, e := range entries {
				if names = append(names, e.Name); string(e.Value) != e.Name {
					tb.Errorf("list shows %s", show(e))
				}
			}
			if got := strings.Join(names, " "); got != want {
				tb.Errorf("list of %q has %q, want %q", prefix, got, want)
			}
		}
	}},
	{"list/many", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		const n = 3000
		for i := range n {
			put(tb, s, "m/"+itoa(int64(100_000+(i*7919)%n)), nil, nil)
		}
		for i := range n / 3 {
			ok(tb, s.Delete(tb.Context(), "m/"+itoa(int64(100_000+i*3)), nil), "delete")
		}
		entries, _, err := s.List(tb.Context(), "m/")
		ok(tb, err, "list")
		if len(entries) != n-n/3 {
			tb.Fatalf("list has %d names, want %d", len(entries), n-n/3)
		}
		for i := 1; i < len(entries); i++ {
			if entries[i-1].Name >= entries[i].Name {
				tb.Fatalf("list has %q before %q", entries[i-1].Name, entries[i].Name)
			}
		}
	}},
	{"list/revision-is-where-a-watch-goes-on", func(tb testing.TB, h NamingHarness) {
		s := openNaming(tb, h)
		put(tb, s, "a/1", nil, nil)
		put(tb, s, "b", nil, nil)
		_, r, err := s.List(tb.Context(), "a/")
		ok(tb, err, "list")
		e := put(tb, s, "a/2", []byte("new"), nil)
		watch(tb, s, "a/", r).wantPut(tb, e)
	}},
}
