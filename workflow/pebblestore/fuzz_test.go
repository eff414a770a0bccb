package pebblestore

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/order"
)

// FuzzDecode: whatever lies on disk, reading it ends with a value or an error; and a value that was read
// is written as it was.
func FuzzDecode(f *testing.F) {
	b := batch(name("a"), 0, 3)
	events, err := appendEvents(nil, b.Events)
	require.NoError(f, err)
	record, err := appendRecord(nil, &workflow.Execution{Ref: name("a"), Output: workflow.JSON(" 1"), Failure: &workflow.Failure{Name: "x", Details: workflow.JSON("2")}})
	require.NoError(f, err)
	p := order.Position{Started: -5, Ref: name("a")}
	for _, seed := range [][]byte{nil, events, record, appendSnapshot(nil, 7, []byte("s")), recordKey(nil, true, p), keepKey(nil, time.Unix(3, 4), p), eventsKey(nil, name("a"), 9), events[:len(events)/2]} {
		f.Add(seed)
	}
	source := func(workflow.ExecutionRef) workflow.PayloadSource { return nil }
	f.Fuzz(func(t *testing.T, data []byte) {
		if events, err := decodeEvents(nil, 1, data, nil); err == nil {
			again, err := appendEvents(nil, events)
			require.NoError(t, err)
			back, err := decodeEvents(nil, 1, again, nil)
			require.NoError(t, err)
			require.True(t, reflect.DeepEqual(events, back))
		}
		if _, err := dropEvents(data, 2); err == nil {
			_, err := decodeEvents(nil, 1, data, nil)
			_ = err // the rest may be damaged
		}
		if x, err := decodeRecord(data, source); err == nil {
			again, err := appendRecord(nil, &x)
			if err == nil { // a time may be one that JSON cannot say
				_, err = decodeRecord(again, source)
				require.NoError(t, err)
			}
		}
		if at, snapshot, err := decodeSnapshot(data); err == nil {
			at2, snapshot2, err := decodeSnapshot(appendSnapshot(nil, at, snapshot))
			require.NoError(t, err)
			require.Equal(t, at, at2)
			require.Equal(t, snapshot, snapshot2)
		}
		if p, ok := parsePosition(data); ok {
			require.Equal(t, data, appendPosition(nil, p))
		}
		seqOf(data)
	})
}
