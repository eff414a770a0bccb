package workflow_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// fill sets every exported field below v to something that is not zero, and fails on a
// kind it does not know: a field that the codec forgets is found by adding it.
func fill(t *testing.T, v reflect.Value, r *rand.Rand) {
	t.Helper()
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000+r.Int64N(1e6), r.Int64N(1e9)).UTC()))
		return
	case workflow.Payload:
		payloads := []workflow.Payload{
			workflow.JSON(`{"n":1}`), workflow.Bytes("text/plain", []byte("hi")), workflow.Bytes("application/x", []byte{0xff, 0}),
			workflow.Bytes("", nil), workflow.Reference("image/png", "sha256:12", 99, nil),
		}
		v.Set(reflect.ValueOf(payloads[r.IntN(len(payloads))]))
		return
	case workflow.EventKind:
		v.SetUint(uint64(1 + r.IntN(16)))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), r)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), r)
		}
	case reflect.String:
		v.SetString("s" + string(rune('a'+r.IntN(26))))
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + r.Int64N(1e9))
	case reflect.Uint64:
		v.SetUint(1 + r.Uint64N(1e18))
	case reflect.Uint8:
		v.SetUint(1 + r.Uint64N(255))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			fill(t, v.Index(i), r)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"k": "v", "l": ""}))
	default:
		t.Fatalf("fill does not know %s", v.Type())
	}
}

func TestEventSurvivesBothForms(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var want workflow.Event
		fill(t, reflect.ValueOf(&want).Elem(), r)
		if r.IntN(3) == 0 {
			want = workflow.Event{Seq: want.Seq, Time: want.Time, Kind: want.Kind, Step: want.Step}
		}

		data, err := workflow.AppendEvent([]byte("x"), &want)
		require.NoError(t, err)
		got, rest, err := workflow.DecodeEvent(append(data[1:len(data):len(data)], "rest"...), nil)
		require.NoError(t, err)
		assert.Equal(t, "rest", string(rest))
		assert.Equal(t, want, got, "binary")

		text, err := json.Marshal(&want)
		require.NoError(t, err)
		got = workflow.Event{}
		require.NoError(t, json.Unmarshal(text, &got))
		assert.Equal(t, want, got, "JSON %s", text)
	}
}

func TestDecodeNamesTheFault(t *testing.T) {
	e := workflow.Event{Seq: 1, Time: time.Unix(5, 0).UTC(), Kind: workflow.StepFailed, Step: "a",
		Failure: &workflow.Failure{Name: "Oops", Details: workflow.JSON("1")}, Undone: []uint64{4}}
	data, err := workflow.AppendEvent(nil, &e)
	require.NoError(t, err)
	for n := range data {
		_, _, err := workflow.DecodeEvent(data[:n], nil)
		require.ErrorIs(t, err, faas.ErrCorrupt, "cut at %d of %d", n, len(data))
	}
	newer := append([]byte{99}, data[1:]...)
	_, _, err = workflow.DecodeEvent(newer, nil)
	require.ErrorIs(t, err, faas.ErrUnimplemented)
}

func FuzzDecodeEvent(f *testing.F) {
	for _, e := range []workflow.Event{
		{Seq: 1, Kind: workflow.ExecutionStarted, Time: time.Unix(1, 0), Start: &workflow.Start{}},
		{Seq: 2, Kind: workflow.StepSucceeded, Time: time.Unix(2, 0), Step: "s", Payload: workflow.JSON("[1]"), Undone: []uint64{1, 2}},
	} {
		data, err := workflow.AppendEvent(nil, &e)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, rest, err := workflow.DecodeEvent(data, nil)
		if err != nil {
			return
		}
		again, err := workflow.AppendEvent(nil, &e)
		if err != nil {
			return // a Start that JSON reads but cannot write, such as a year of five digits
		}
		e2, none, err := workflow.DecodeEvent(again, nil)
		require.NoError(t, err)
		require.Empty(t, none)
		third, err := workflow.AppendEvent(nil, &e2)
		require.NoError(t, err)
		require.Equal(t, again, third)
		require.LessOrEqual(t, len(rest), len(data))
	})
}

type source map[faas.Digest]string

func (s source) Payload(_ context.Context, d faas.Digest) ([]byte, error) {
	v, ok := s[d]
	if !ok {
		return nil, faas.Errorf("store", "read payload", string(d), faas.ErrNotFound, "no such payload")
	}
	return []byte(v), nil
}

func TestPayloadByReference(t *testing.T) {
	ctx := t.Context()
	p := workflow.Reference("", "sha256:1", 3, source{"sha256:1": "[1]"})
	assert.EqualValues(t, 3, p.Size())
	var v []int
	require.NoError(t, p.Unmarshal(ctx, &v))
	assert.Equal(t, []int{1}, v)

	back, rest, err := workflow.DecodePayload(workflow.AppendPayload(nil, p), source{"sha256:1": "[2]"})
	require.NoError(t, err)
	assert.Empty(t, rest)
	require.NoError(t, back.Unmarshal(ctx, &v))
	assert.Equal(t, []int{2}, v)
	assert.True(t, back.Equal(p))

	_, err = p.WithSource(nil).Bytes(ctx)
	require.ErrorIs(t, err, faas.ErrNotFound)
	require.ErrorIs(t, workflow.JSON("{").Unmarshal(ctx, &v), faas.ErrInvalidArgument)

	assert.True(t, workflow.Payload{}.IsZero())
	assert.False(t, workflow.Bytes("", nil).IsZero(), "an empty value is a value")
	assert.False(t, workflow.Payload{}.Equal(workflow.Bytes("", nil)))
	assert.Equal(t, workflow.MediaTypeJSON, workflow.JSON("1").MediaType())
	assert.True(t, workflow.JSON("1").Equal(workflow.Bytes(workflow.MediaTypeJSON, []byte("1"))))
}
