package source

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

type inner struct {
	Name string   `json:"name"`
	N    int      `json:"n"`
	F    float64  `json:"f"`
	On   bool     `json:"on"`
	List []string `json:"list"`
	Any  any      `json:"any"`
	Next *inner   `json:"next"`
}

type outer struct {
	Items map[string]inner `json:"items"`
}

func read(t *testing.T, text string) (outer, workflow.Diagnostics) {
	t.Helper()
	var d Document
	var o outer
	d.Read(text, &o)
	err := d.Err()
	var ds workflow.Diagnostics
	if err != nil {
		require.ErrorIs(t, err, faas.ErrInvalidArgument)
		require.ErrorAs(t, err, &ds)
	}
	return o, ds
}

func TestYAMLAndJSONSayTheSame(t *testing.T) {
	a, ds := read(t, "items:\n  x:\n    name: a\n    n: 0x10\n    f: 1\n    on: true\n    list: [a, \"1\"]\n    any: {k: [1, 1.5, yes, ~, 2026-01-01]}\n    next: {n: 2}\n")
	require.Empty(t, ds)
	b, ds := read(t, "\t{\"items\":\r\n{\"x\": {\"name\": \"a\", \"n\": 16, \"f\": 1, \"on\": true, \"list\": [\"a\", \"1\"], \"any\": {\"k\": [1, 1.5, \"yes\", null, \"2026-01-01\"]}, \"next\": {\"n\": 2}}}}")
	require.Empty(t, ds)
	require.Equal(t, a, b)
	require.Equal(t, map[string]any{"k": []any{int64(1), 1.5, "yes", nil, "2026-01-01"}}, a.Items["x"].Any)
}

func TestEveryFaultHasItsPlace(t *testing.T) {
	_, ds := read(t, "items:\n  x: {name: 1, n: many, on: 2,\n    list: a, Next: {}, zz: 1}\n  x: {}\n  y: []\n  z: {n: 99999999999, f: .nan, any: .inf}\n")
	var got []string
	for _, d := range ds {
		require.NotZero(t, d.Line, d.Path)
		got = append(got, d.Path)
	}
	require.Equal(t, []string{"items.x", "items.x.Next", "items.x.list", "items.x.n", "items.x.name", "items.x.on", "items.x.zz", "items.y", "items.z.any", "items.z.f", "items.z.n"}, got)
	require.Equal(t, workflow.Diagnostic{Path: "items.x.list", Rule: `is the text "a", want a list`, Line: 3, Column: 11}, ds[2])
	_, ds = read(t, "{\n  \"items\": {\"x\": {\"n\": \"1\",\n    \"n\": 2}}}")
	require.Equal(t, workflow.Diagnostics{
		{Path: "items.x.n", Rule: `is "1", want a whole number between -2147483648 and 2147483647`, Line: 2, Column: 24},
		{Path: "items.x.n", Rule: `the key "n" stands twice, first in line 2`, Line: 3, Column: 5},
	}, ds)
}

func TestHostileTexts(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "comment": "# nothing", "null": "~", "a list": "[]", "two": "items: {}\n---\na: 1\n", "not UTF-8": "a: \xff", "control": "a: \x01", "tab": "\tx: 1", "open": "{", "broken": "a: [1",
		"deep YAML":       "items: {x: {any: " + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + "}}",
		"deep JSON":       `{"items": {"x": {"any": ` + strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000) + "}}}",
		"alias of itself": "items: &a {x: {any: *a}}", "unknown alias": "items: *a", "many": "items: {x: {any: [" + strings.Repeat("1,", maxNodes) + "1]}}",
		"aliases": "a: &a {}\nitems: {x: {any: [" + strings.Repeat("*a, ", maxAliases+5) + "]}}", "a key that is a list": "items: {[a]: {}}", "merge": "a: &a {n: 1}\nitems: {x: {<<: *a}}",
		"binary": "items: {x: {n: !!binary aGk=}}",
	} {
		_, ds := read(t, text)
		if name != "null" {
			require.NotEmpty(t, ds, name)
		}
	}
}

func TestLenient(t *testing.T) {
	d := Document{Lenient: true}
	var o outer
	d.Read("items: {x: {any: {a: 1, a: 2}, unknown: 1}}", &o)
	require.NoError(t, d.Err())
	require.Equal(t, map[string]any{"a": int64(2)}, o.Items["x"].Any)
	d.Read("items: {x: {Any: 1}}", &o)
	require.Error(t, d.Err())
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"items: {x: {n: 1}}", `{"items": {"x": {"any": [1, {"a": "\u00e9"}]}}}`, "a: &a [*a]", "? [a]\n: b", "items: !!map {x: !!str 1}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read(t, text)
	})
}
