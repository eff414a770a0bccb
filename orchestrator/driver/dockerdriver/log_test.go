package dockerdriver_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/testfunction/testcall"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/dockerdriver"
)

// frame is one of the engine's multiplexed stream.
func frame(stream byte, text string) []byte {
	b := append([]byte{stream, 0, 0, 0, 0, 0, 0, 0}, "2026-11-23T01:02:03.000000004Z "+text...)
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

func TestFrames(t *testing.T) {
	long := strings.Repeat("x", 16<<10)
	var in []byte
	for _, f := range [][]byte{frame(1, "one\n"), frame(2, "begun, "), frame(1, "\n"), frame(2, "ended\n"),
		frame(1, long), frame(1, long), frame(1, long), frame(1, long), frame(1, "cut\n"), frame(1, long+"\n"), frame(2, "without an end")} {
		in = append(in, f...)
	}
	var got []driver.LogLine
	require.NoError(t, dockerdriver.SplitFrames(bytes.NewReader(in), func(l driver.LogLine) bool { got = append(got, l); return true }))
	require.Len(t, got, 6)
	for i, want := range []string{"one", "", "begun, ended", strings.Repeat("x", dockerdriver.MaxLine), long, "without an end"} {
		assert.Equal(t, want, got[i].Text)
		assert.Equal(t, i == 3, got[i].Truncated)
		assert.Equal(t, 4, got[i].Time.Nanosecond())
	}
	assert.Equal(t, "stderr", got[2].Stream)
	assert.Error(t, dockerdriver.SplitFrames(bytes.NewReader(in[:len(in)-3]), func(driver.LogLine) bool { return true }), "cut")
}

func FuzzFrames(f *testing.F) {
	f.Add(append(frame(1, "one\n"), frame(2, "two")...))
	f.Add([]byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, '2'})
	f.Add([]byte{7, 0, 0, 0, 0, 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, in []byte) {
		total := 0
		_ = dockerdriver.SplitFrames(bytes.NewReader(in), func(l driver.LogLine) bool {
			total += len(l.Text)
			assert.LessOrEqual(t, len(l.Text), dockerdriver.MaxLine)
			assert.NotEmpty(t, l.Stream)
			return true
		})
		assert.LessOrEqual(t, total, len(in))
	})
}

// TestAFloodOfLogs holds nobody up and is bounded.
func TestAFloodOfLogs(t *testing.T) {
	d := open(t, dockerdriver.Options{LogKeep: 1 << 20})
	st := start(t, d, task(t, "flood", faas.ContractSocket))
	assert.Equal(t, "flooded", testcall.MustGet(t, st.Endpoint, "/flood?bytes=33554432"))
	size := 0
	for l, err := range d.Logs(ctx(t), "flood", driver.LogOptions{}) {
		require.NoError(t, err)
		assert.LessOrEqual(t, len(l.Text), dockerdriver.MaxLine)
		size += len(l.Text) + 1
	}
	assert.Less(t, size, 2<<20)
}

// TestLastWords: the end says what the instance said.
func TestLastWords(t *testing.T) {
	d := open(t, dockerdriver.Options{})
	_, err := d.Start(ctx(t), task(t, "i1", faas.ContractSocket, "exit-early", "5"))
	assert.ErrorIs(t, err, faas.ErrFunction)
	assert.ErrorContains(t, err, "exited with code 5: exiting early with code 5")
	never := task(t, "i1", faas.ContractSocket, "never-ready")
	never.StartTimeout = 1
	_, err = d.Start(ctx(t), never)
	assert.ErrorIs(t, err, faas.ErrTimeout)
}
