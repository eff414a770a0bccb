package registrytest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

// hostileNames must never become a namespace, a name, a version or an alias.
var hostileNames = []string{
	"A", "Hello", "hellO", "hello_world", "hello.world", "hello world", " hello", "hello ", "hello\n", "\thello",
	"-hello", "hello-", "-", "--", ".", "..", "../etc", "..\\etc", "/", "a/b", "a\\b", "a//b", "/a", "a/",
	"%2e%2e", "a%2fb", "%00", "a\x00b", "\x00", "\x1b[31m", "a\x7fb", "a\x80b", "\xff\xfe", "\ufeffa", "\ufffd",
	"héllo", "hеllo", // the second with a Cyrillic e
	"ｈello", "hello\u200b", "\u202eolleh", "\u2066a\u2069", "مرحبا", "😀", "a\u0301", "ſ", "K",
	"a@b", "a:b", "a;b", "a?b", "a#b", "a&b", "a=b", "a,b", "a\"b", "a'b", "<a>", "$a", "`a`", "a|b", "*", "a*", "{a}", "~",
	"con.txt", "a\r\nX-Header: b", strings.Repeat("a", 64), strings.Repeat("a", 10_000), strings.Repeat("é", 31) + "x",
}

// goodNames are at the edges of the rule.
var goodNames = []string{"a", "0", "9z", "a-b", "a--b", "xn--bcher-kva", "con", "null", "true", "latest",
	strings.Repeat("a", 63), "0" + strings.Repeat("-", 61) + "z"}

var nameClauses = []clause{
	{Name: "names/hostile-are-refused", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		setAlias(tb, r, "a@live", "1")
		before := revision(tb, r)
		refused := func(err error, call, name string) {
			tb.Helper()
			kit.WantClass(tb, err, faas.ErrInvalidArgument, "%s with %.40q", call, name)
			if err != nil && len(err.Error()) > 1000 {
				tb.Errorf("%s with %.40q: an error of %d bytes", call, name, len(err.Error()))
			}
		}
		for _, bad := range hostileNames {
			for what, ref := range map[string]faas.Ref{
				"the namespace": {Namespace: bad, Name: "a"}, "the name": {Name: bad},
			} {
				_, err := r.Publish(tb.Context(), ref, sampleSpec(1), nil)
				refused(err, "Publish in "+what, bad)
				_, err = r.Get(tb.Context(), ref)
				refused(err, "Get in "+what, bad)
				refused(r.Delete(tb.Context(), ref, nil), "Delete in "+what, bad)
				_, err = r.ListAliases(tb.Context(), ref)
				refused(err, "ListAliases in "+what, bad)
				ref.Version = "live"
				_, err = r.SetAlias(tb.Context(), registry.Alias{Ref: ref, Target: "1"}, nil)
				refused(err, "SetAlias in "+what, bad)
				refused(r.DeleteAlias(tb.Context(), ref), "DeleteAlias in "+what, bad)
			}
			alias := faas.Ref{Name: "a", Version: bad}
			_, err := r.Get(tb.Context(), alias)
			refused(err, "Get of the version", bad)
			refused(r.Delete(tb.Context(), alias, nil), "Delete of the version", bad)
			_, err = r.SetAlias(tb.Context(), registry.Alias{Ref: alias, Target: "1"}, nil)
			refused(err, "SetAlias of the alias", bad)
			_, err = r.SetAlias(tb.Context(), registry.Alias{Ref: faas.Ref{Name: "a", Version: "x"}, Target: bad}, nil)
			refused(err, "SetAlias to the target", bad)
			refused(r.DeleteAlias(tb.Context(), alias), "DeleteAlias of the alias", bad)
		}
		_, err := r.Publish(tb.Context(), faas.Ref{}, sampleSpec(1), nil)
		refused(err, "Publish in the name", "")
		_, err = r.Get(tb.Context(), faas.Ref{})
		refused(err, "Get in the name", "")
		if now := revision(tb, r); now != before {
			tb.Errorf("refused calls took the registry from revision %d to %d", before, now)
		}
		kit.WantNames(tb, "what is there", kit.Walk(tb, listed{r}, kit.Query{AllVersions: true}, nil), "default/a@1")
	}},
	{Name: "names/edges-are-allowed", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for i, name := range goodNames {
			ref := faas.Ref{Namespace: goodNames[len(goodNames)-1-i], Name: name}
			fn, err := r.Publish(tb.Context(), ref, sampleSpec(i), nil)
			if err != nil {
				tb.Errorf("Publish(%v): %v", ref, err)
				continue
			}
			got, err := r.Get(tb.Context(), fn.Ref)
			if err != nil {
				tb.Errorf("Get(%v): %v", fn.Ref, err)
				continue
			}
			wantSame(tb, fn.Ref.String(), got, fn)
			if strings.Trim(name, "0123456789") == "" {
				continue // a number is no alias
			}
			ref.Version = name
			if _, err := r.SetAlias(tb.Context(), registry.Alias{Ref: ref, Target: "1"}, nil); err != nil {
				tb.Errorf("SetAlias(%v): %v", ref, err)
			}
			if got, err := r.Get(tb.Context(), ref); err != nil || got.Ref != fn.Ref {
				tb.Errorf("Get(%v): %v, %v", ref, got.Ref, err)
			}
		}
	}},
	{Name: "names/do-not-run-into-each-other", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for i, name := range []string{"a/b", "ab/b", "a/bb", "a-b/c", "a/b-c", "a1/1", "a/11", "a/b1"} {
			publish(tb, r, name, i)
			setAlias(tb, r, name+"@x"+fmt.Sprint(i), "1")
		}
		remove(tb, r, "a/b")
		for i, name := range []string{"ab/b", "a/bb", "a-b/c", "a/b-c", "a1/1", "a/11", "a/b1"} {
			fn := get(tb, r, name)
			if want := sampleSpec(i + 1).Command[1]; fn.Spec.Command[1] != want || fn.Ref.Unversioned() != kit.Ref(tb, name) {
				tb.Errorf("%s is %v with the command %q", name, fn.Ref, fn.Spec.Command)
			}
			if l, err := r.ListAliases(tb.Context(), kit.Ref(tb, name)); err != nil || len(l) != 1 || l[0].Ref.Version != "x"+fmt.Sprint(i+1) {
				tb.Errorf("the aliases of %s: %v, %v", name, l, err)
			}
		}
	}},
}
