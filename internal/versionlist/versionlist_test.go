package versionlist_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/versionlist"
)

func TestNumber(t *testing.T) {
	for s, want := range map[string]uint64{
		"1": 1, "42": 42, "18446744073709551615": 1<<64 - 1, "18446744073709551616": 0, "99999999999999999999": 0,
		"": 0, "0": 0, "01": 0, "+1": 0, "-1": 0, "1 ": 0, "live": 0, "1a": 0,
	} {
		assert.Equal(t, want, versionlist.Number(s), "%q", s)
	}
	assert.True(t, versionlist.IsNumber("007"), "it has the form, and so is no alias")
	assert.False(t, versionlist.IsNumber(""))
}

// thing is a name with versions.
type thing struct {
	name     string
	versions []faas.Ref
}

// The kits of both registries test pages for good; here is what they have in common, walked through.
func TestPagesCoverEverythingOnce(t *testing.T) {
	ref := func(name, version string) faas.Ref { return faas.Ref{Namespace: "ns", Name: name, Version: version} }
	all := []thing{
		{"a", []faas.Ref{ref("a", "1"), ref("a", "2"), ref("a", "10")}}, {"b", nil}, {"c", []faas.Ref{ref("c", "3")}},
	}
	for _, allVersions := range []bool{false, true} {
		want := []faas.Ref{ref("a", "10"), ref("c", "3")}
		if allVersions {
			want = []faas.Ref{ref("a", "1"), ref("a", "2"), ref("a", "10"), ref("c", "3")}
		}
		for limit := 1; limit <= 5; limit++ {
			var got []faas.Ref
			q := versionlist.Query{AllVersions: allVersions, Limit: limit}
			for {
				after, err := q.Check(100, 1000)
				require.NoError(t, err)
				page, next := versionlist.Page(q, after, all, func(x thing) faas.Ref { return ref(x.name, "") },
					func(x thing) []faas.Ref { return x.versions }, func(r faas.Ref) faas.Ref { return r })
				got = append(got, page...)
				if q.Token = next; next == "" {
					break
				}
			}
			assert.Equal(t, want, got, "all versions %v, limit %d", allVersions, limit)
		}
	}
	_, err := (&versionlist.Query{Namespace: "A", Name: "B", Limit: 1001, Token: "?"}).Check(100, 1000)
	for _, part := range []string{"namespace", "name", "limit", "token"} {
		assert.ErrorContains(t, err, part)
	}
}
