//go:build linux

package procdriver_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/testfunction/testcall"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

// sh starts a stdio instance of a shell script, whose stderr is its log.
func sh(t *testing.T, d *procdriver.Driver, script string) driver.Status {
	t.Helper()
	return start(t, d, driver.Task{ID: "i1", Contract: faas.ContractStdio, Command: []string{"sh", "-c", script}})
}

func logs(t *testing.T, d *procdriver.Driver, o driver.LogOptions) (lines []driver.LogLine) {
	t.Helper()
	for l, err := range d.Logs(ctx(t), "i1", o) {
		require.NoError(t, err)
		lines = append(lines, l)
	}
	return lines
}

func TestLogLines(t *testing.T) {
	d := open(t, nil)
	st := sh(t, d, `printf 'a\n\n\000\377b\r\nlast without newline' >&2`)
	testcall.MustGet(t, st.Endpoint, "/")
	var got []string
	for _, l := range logs(t, d, driver.LogOptions{}) {
		assert.Zero(t, l.Dropped)
		assert.False(t, l.Truncated)
		assert.WithinDuration(t, time.Now(), l.Time, limit)
		got = append(got, l.Text)
	}
	assert.Equal(t, []string{"a", "", "\x00\xffb\r", "last without newline"}, got)
	for _, err := range d.Logs(ctx(t), "i1", driver.LogOptions{Tail: -1}) {
		assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	d := open(t, nil)
	st := sh(t, d, `head -c 65536 /dev/zero >&2; echo >&2; head -c 65537 /dev/zero >&2; echo >&2; head -c 3000000 /dev/zero | tr '\0' x >&2; echo >&2; echo short >&2`)
	testcall.MustGet(t, st.Endpoint, "/")
	lines := logs(t, d, driver.LogOptions{})
	require.Len(t, lines, 4)
	for n, cut := range []bool{false, true, true, false} {
		assert.Equal(t, cut, lines[n].Truncated)
		if n < 3 {
			assert.Len(t, lines[n].Text, procdriver.MaxLine)
		}
	}
	assert.Equal(t, "short", lines[3].Text)
}

// Every line is given or counted, and the last one is given.
func TestRateCap(t *testing.T) {
	const lines = 20_000
	d := open(t, &procdriver.Options{LogRate: 10_000})
	st := sh(t, d, fmt.Sprintf(`seq %d >&2; echo the end >&2`, lines))
	testcall.MustGet(t, st.Endpoint, "/")
	sum, dropped := int64(0), int64(0)
	got := logs(t, d, driver.LogOptions{})
	for _, l := range got {
		sum += 1 + l.Dropped
		dropped += l.Dropped
	}
	assert.Equal(t, int64(lines+1), sum)
	assert.Greater(t, dropped, int64(lines/2))
	assert.Equal(t, "the end", got[len(got)-1].Text)
}

func TestKeepCap(t *testing.T) {
	d := open(t, &procdriver.Options{LogKeep: 1000, LogRate: 1 << 30})
	st := sh(t, d, `seq 1000 >&2`)
	testcall.MustGet(t, st.Endpoint, "/")
	got := logs(t, d, driver.LogOptions{})
	assert.Equal(t, "1000", got[len(got)-1].Text)
	assert.Less(t, len(got), 20)
	assert.Equal(t, int64(1000-len(got)), got[0].Dropped, "those that had to go are counted")
	tail := logs(t, d, driver.LogOptions{Tail: 2})
	require.Len(t, tail, 2)
	assert.Zero(t, tail[0].Dropped, "what was not asked for is not lost")
}

// A flood neither blocks the function nor stays in memory.
func TestFlood(t *testing.T) {
	d := open(t, nil)
	st := start(t, d, task(t, "i1", faas.ContractInherit))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const size = 256 << 20
	assert.Equal(t, "flooded", testcall.MustGet(t, st.Endpoint, fmt.Sprintf("/flood?bytes=%d", size)))
	runtime.GC()
	runtime.ReadMemStats(&after)
	assert.Less(t, int64(after.HeapInuse)-int64(before.HeapInuse), int64(8<<20))
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size/2), "what is dropped is not allocated")
	kept := 0
	for _, l := range logs(t, d, driver.LogOptions{}) {
		kept += len(l.Text)
	}
	assert.LessOrEqual(t, kept, procdriver.DefaultLogKeep)
}

func TestLastWords(t *testing.T) {
	d := open(t, nil)
	_, err := d.Start(ctx(t), driver.Task{ID: "i1", Contract: faas.ContractInherit,
		Command: []string{"sh", "-c", `head -c 100000 /dev/zero | tr '\0' x >&2; echo >&2; echo the reason >&2; exit 9`}})
	require.ErrorIs(t, err, faas.ErrFunction)
	assert.ErrorContains(t, err, "exited with code 9")
	assert.ErrorContains(t, err, "the reason")
	assert.Less(t, len(err.Error()), 4096)

	_, err = d.Start(ctx(t), driver.Task{ID: "i1", Contract: faas.ContractHTTP, StartTimeout: 300 * time.Millisecond,
		Command: []string{"sh", "-c", `echo still thinking >&2; exec sleep 3600`}})
	require.ErrorIs(t, err, faas.ErrTimeout)
	assert.ErrorContains(t, err, "still thinking")
}

func TestNotHTTP(t *testing.T) {
	d := open(t, nil)
	_, err := d.Start(ctx(t), driver.Task{ID: "i1", Contract: faas.ContractInherit, Command: []string{self(t), "garbage"}})
	require.ErrorIs(t, err, faas.ErrFunction)
	assert.True(t, strings.Contains(err.Error(), "not HTTP"), err.Error())
}
