package table

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

func ref(version string) faas.Ref { return faas.Ref{Namespace: "ns", Name: "a", Version: version} }

// state is a consistent one of two versions, one deleted, and an alias.
func state() State {
	return State{
		Revision: 4,
		Functions: []FunctionState{{
			Namespace: "ns", Name: "a", Last: 3,
			Versions: []faas.Function{{Ref: ref("1"), Revision: 1}, {Ref: ref("2"), Revision: 2}},
			Aliases:  []registry.Alias{{Ref: ref("live"), Target: "2", Revision: 4}},
		}},
		Events: []registry.Event{{Kind: registry.Deleted, Ref: ref("3"), Revision: 3}, {Kind: registry.AliasSet, Ref: ref("live"), Target: "2", Revision: 4}},
	}
}

func TestNewRefusesAnInconsistentState(t *testing.T) {
	_, err := New(Config{History: 10, State: state()})
	require.NoError(t, err)
	for name, spoil := range map[string]func(*State){
		"versions out of order":         func(s *State) { v := s.Functions[0].Versions; v[0], v[1] = v[1], v[0] },
		"a version twice":               func(s *State) { v := s.Functions[0].Versions; v[1] = v[0] },
		"a version that is no number":   func(s *State) { s.Functions[0].Versions[1].Ref.Version = "x" },
		"a version above the last":      func(s *State) { s.Functions[0].Last = 1 },
		"a version of the future":       func(s *State) { s.Functions[0].Versions[1].Revision = 5 },
		"an alias that points nowhere":  func(s *State) { s.Functions[0].Aliases[0].Target = "3" },
		"an alias of the future":        func(s *State) { s.Functions[0].Aliases[0].Revision = 5 },
		"a change missing in between":   func(s *State) { s.Events[0].Revision = 2 },
		"the last change missing":       func(s *State) { s.Events = s.Events[:1] },
		"changes beyond the registry's": func(s *State) { s.Revision = 3 },
	} {
		s := state()
		spoil(&s)
		_, err := New(Config{History: 10, State: s})
		assert.ErrorIs(t, err, faas.ErrCorrupt, name)
	}
}

// TestAFailedCommitChangesNothing refuses commits: nothing of them is seen, and no number or revision is lost.
func TestAFailedCommitChangesNothing(t *testing.T) {
	full := errors.New("full")
	var fail error
	var committed []Change
	tb, err := New(Config{History: 10, Commit: func(c []Change) error {
		if fail == nil {
			committed = append(committed, c...)
		}
		return fail
	}})
	require.NoError(t, err)
	spec := faas.Spec{Contract: faas.ContractHandler, Command: []string{"x"}}
	name := faas.Ref{Namespace: "ns", Name: "a"}
	first, err := tb.Publish(t.Context(), name, spec, nil)
	require.NoError(t, err)

	fail = faas.Errorf("registry", "write", "", faas.ErrExhausted, "%w", full)
	_, err = tb.Publish(t.Context(), name, spec, nil)
	assert.ErrorIs(t, err, faas.ErrExhausted)
	assert.ErrorIs(t, err, full)
	assert.ErrorIs(t, tb.Delete(t.Context(), name, nil), faas.ErrExhausted)
	_, err = tb.SetAlias(t.Context(), registry.Alias{Ref: ref("live"), Target: "1"}, nil)
	assert.ErrorIs(t, err, faas.ErrExhausted)
	got, err := tb.Get(t.Context(), name)
	require.NoError(t, err)
	assert.Equal(t, first, got)
	page, err := tb.List(t.Context(), registry.Query{AllVersions: true})
	require.NoError(t, err)
	assert.Equal(t, registry.Page{Functions: []faas.Function{first}, Revision: 1}, page)

	fail = nil
	second, err := tb.Publish(t.Context(), name, spec, nil)
	require.NoError(t, err)
	assert.Equal(t, ref("2"), second.Ref)
	assert.EqualValues(t, 2, second.Revision)
	assert.Len(t, committed, 2)
}

func TestCloseRunsOnceAndItsErrorIsTold(t *testing.T) {
	calls := 0
	tb, err := New(Config{History: 1, Close: func() error { calls++; return faas.ErrUnavailable }})
	require.NoError(t, err)
	assert.ErrorIs(t, tb.Close(), faas.ErrUnavailable)
	assert.NoError(t, tb.Close())
	assert.Equal(t, 1, calls)
}
