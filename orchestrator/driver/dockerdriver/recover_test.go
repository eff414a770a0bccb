package dockerdriver_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/testfunction/testcall"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/dockerdriver"
)

// TestRecover: a driver adopts what one that was killed has left, knows how what ended meanwhile has
// ended, and removes what nobody knows.
func TestRecover(t *testing.T) {
	dir := shortDir(t)
	first := open(t, dockerdriver.Options{Dir: dir})
	found, err := first.Recover(ctx(t), "kit-owner", nil)
	require.NoError(t, err)
	assert.Empty(t, found)
	var handles []driver.Handle
	before := map[string]driver.Status{}
	for _, id := range []string{"runs", "web", "paused", "exits", "stray", "damaged", "foreign"} {
		c := faas.ContractSocket
		if id == "web" {
			c = faas.ContractHTTP
		}
		tk := task(t, id, c)
		tk.Labels = map[string]string{"id": id}
		before[id] = start(t, first, tk)
		h, err := first.Handle(ctx(t), id)
		require.NoError(t, err)
		switch id {
		case "stray":
			continue
		case "damaged":
			h.State = h.State[1:]
		case "foreign":
			h.Driver = "proc"
		}
		handles = append(handles, h)
	}
	require.NoError(t, first.Pause(ctx(t), "paused"))
	handles = append(handles, driver.Handle{ID: "gone", Driver: "docker", Format: 1, State: handles[0].State},
		driver.Handle{ID: "newer", Driver: "docker", Format: 99})

	second := open(t, dockerdriver.Options{Dir: dir})
	_, err = second.Recover(ctx(t), "kit-owner", handles)
	require.ErrorIs(t, err, faas.ErrUnavailable, "its owner lives")
	_, _ = testcall.Get(t, before["exits"].Endpoint, "/exit?code=7")
	dockerdriver.Die(first)

	other := open(t, dockerdriver.Options{Dir: dir})
	found, err = other.Recover(ctx(t), "another-owner", nil)
	require.NoError(t, err)
	assert.Empty(t, found, "what another owner's is, is not touched")

	found, err = second.Recover(ctx(t), "kit-owner", handles)
	require.NoError(t, err)
	assert.Equal(t, []string{"exits", "paused", "runs", "web"}, found.Adopted)
	assert.ElementsMatch(t, []string{"stray", "damaged"}, found.Strays)
	lost := map[string]error{}
	for _, l := range found.Lost {
		lost[l.ID] = l.Err
	}
	require.Len(t, lost, 4)
	assert.ErrorIs(t, lost["damaged"], faas.ErrCorrupt)
	assert.ErrorIs(t, lost["foreign"], faas.ErrInvalidArgument)
	assert.ErrorIs(t, lost["newer"], faas.ErrUnimplemented)
	assert.ErrorIs(t, lost["gone"], faas.ErrNotFound)
	all, err := second.List(ctx(t))
	require.NoError(t, err)
	require.Len(t, all, 4)
	for _, st := range all {
		was := before[st.ID]
		assert.True(t, was.Started.Equal(st.Started) && was.Ready.Equal(st.Ready), "%v, was %v", st, was)
		assert.Equal(t, was.Endpoint, st.Endpoint)
		assert.Equal(t, was.Labels, st.Labels)
		if st.ID == "exits" {
			require.Equal(t, driver.StateEnded, st.State)
			assert.Equal(t, 7, st.Exit.Code)
		} else {
			assert.Equal(t, driver.StateRunning, st.State)
		}
	}
	require.NoError(t, second.Resume(ctx(t), "paused"))
	for _, id := range []string{"runs", "web", "paused"} {
		testcall.MustGet(t, before[id].Endpoint, "/pid")
		require.NoError(t, second.Stop(ctx(t), id, time.Minute))
	}
	// The end of an adopted one is seen.
	start(t, second, task(t, "runs", faas.ContractSocket))
	_, err = second.Recover(ctx(t), "kit-owner", nil)
	assert.ErrorIs(t, err, faas.ErrConflict)
}

// TestAnAdoptedInstanceEnds: events of adopted containers are followed as those of its own.
func TestAnAdoptedInstanceEnds(t *testing.T) {
	dir := shortDir(t)
	first := open(t, dockerdriver.Options{Dir: dir})
	_, err := first.Recover(ctx(t), "kit-ends", nil)
	require.NoError(t, err)
	st := start(t, first, task(t, "i1", faas.ContractSocket))
	h, err := first.Handle(ctx(t), "i1")
	require.NoError(t, err)
	dockerdriver.Die(first)
	second := open(t, dockerdriver.Options{Dir: dir})
	_, err = second.Recover(ctx(t), "kit-ends", []driver.Handle{h})
	require.NoError(t, err)
	again, err := second.Handle(ctx(t), "i1")
	require.NoError(t, err)
	assert.Equal(t, h, again)
	watching, cancel := context.WithCancel(ctx(t))
	defer cancel()
	for s, err := range second.Watch(watching) {
		require.NoError(t, err)
		if s.State == driver.StateRunning {
			_, _ = testcall.Get(t, st.Endpoint, "/exit?code=9")
			continue
		}
		assert.Equal(t, 9, s.Exit.Code)
		break
	}
	_, err = second.Handle(ctx(t), "no-such-task")
	assert.ErrorIs(t, err, faas.ErrNotFound)
}
