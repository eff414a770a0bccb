package faas_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

func TestParseRef(t *testing.T) {
	long := strings.Repeat("a", faas.MaxNameLen)
	for s, want := range map[string]faas.Ref{
		"a":                            {Namespace: "default", Name: "a"},
		"ns/a":                         {Namespace: "ns", Name: "a"},
		"a@1":                          {Namespace: "default", Name: "a", Version: "1"},
		"ns/a@live":                    {Namespace: "ns", Name: "a", Version: "live"},
		"0/0@0":                        {Namespace: "0", Name: "0", Version: "0"},
		"a-b/c--d@e-f":                 {Namespace: "a-b", Name: "c--d", Version: "e-f"},
		long + "/" + long + "@" + long: {Namespace: long, Name: long, Version: long},
	} {
		got, err := faas.ParseRef(s)
		require.NoError(t, err, s)
		assert.Equal(t, want, got)
	}
}

func TestParseRefRefuses(t *testing.T) {
	for s, part := range map[string]string{
		"":                          `"name"`,
		"/":                         "namespace before the slash is empty",
		"/a":                        "namespace before the slash is empty",
		"a/":                        `"name"`,
		"@":                         "version after the @ is empty",
		"a@":                        "version after the @ is empty",
		"@1":                        `"name"`,
		"a/b/c":                     `has '/' at byte 1`,
		"a@1@2":                     `has '@' at byte 1`,
		"a@b/c":                     `"namespace"`,
		"A":                         `has 'A' at byte 0`,
		"ns/a_b":                    `has '_' at byte 1`,
		"-a":                        "starts or ends with '-'",
		"a-/b":                      `"namespace"`,
		"a@-":                       `"version"`,
		"..":                        `has '.' at byte 0`,
		"../a":                      `"namespace"`,
		"a%2fb":                     `has '%' at byte 1`,
		"a b":                       `has ' ' at byte 1`,
		"a\x00":                     `has '\x00' at byte 1`,
		"a\r\nb":                    `has '\r' at byte 1`,
		"hеllo":                     `at byte 1`, // a Cyrillic e
		"\u202ea":                   `at byte 0`,
		"😀":                         `at byte 0`,
		strings.Repeat("a", 64):     "is 64 bytes long, more than 63",
		strings.Repeat("a", 10_000): "is 10000 bytes long, more than 63",
	} {
		got, err := faas.ParseRef(s)
		assert.ErrorIs(t, err, faas.ErrInvalidArgument, "%.40q", s)
		assert.ErrorContains(t, err, part, "%.40q", s)
		assert.Less(t, len(err.Error()), 500, "hostile input fills the message")
		assert.Zero(t, got)
	}
}

func TestRefParts(t *testing.T) {
	r := faas.Ref{Name: "a", Version: "3"}
	assert.Equal(t, "default/a@3", r.String())
	assert.Equal(t, faas.Ref{Name: "a"}, r.Unversioned())
	assert.Equal(t, faas.Ref{Namespace: "default", Name: "a", Version: "3"}, r.WithDefaults())
	assert.NoError(t, r.Validate())
	for part, bad := range map[string]faas.Ref{
		"namespace": {Namespace: "No", Name: "a"}, "name": {}, "version": {Name: "a", Version: "-"},
	} {
		err := bad.Validate()
		var e *faas.Error
		require.True(t, errors.As(err, &e), part)
		assert.Equal(t, part, e.Key)
		assert.NotEmpty(t, e.Next)
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"", "a", "ns/a@1", "a/b/c", "a@@", "/@", "é", "a\x00", strings.Repeat("x", 200), "../..", "-a@b-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := faas.ParseRef(s)
		if err != nil {
			if !errors.Is(err, faas.ErrInvalidArgument) || r != (faas.Ref{}) {
				t.Fatalf("ParseRef(%q) = %v, %v", s, r, err)
			}
			return
		}
		if err := r.Validate(); err != nil {
			t.Fatalf("ParseRef(%q) made %v, which is invalid: %v", s, r, err)
		}
		again, err := faas.ParseRef(r.String())
		if err != nil || again != r {
			t.Fatalf("ParseRef(%q) = %v, but its String parses to %v, %v", s, r, again, err)
		}
		for _, part := range []string{r.Namespace, r.Name, r.Version} {
			if strings.ContainsAny(part, "/@%\\. \x00\r\n") || len(part) > faas.MaxNameLen {
				t.Fatalf("ParseRef(%q) let %q through", s, part)
			}
		}
	})
}
