package driverplugin

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	pb "github.com/joinery/faas/orchestrator/driver/driverplugin/driverpb"
)

// filled sets every field, of every depth, to something else than its zero value.
func filled[T any](t *testing.T) (v T) {
	n := 0
	fill(t, reflect.ValueOf(&v).Elem(), &n)
	return v
}

func fill(t *testing.T, v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(int64(1000000+*n), int64(*n)).UTC()))
		return
	case faas.Isolation:
		v.SetInt(3)
		return
	case driver.State:
		v.SetString(string(driver.StateEnded))
		return
	case driver.ExitReason:
		v.SetString(string(driver.ExitSignaled))
		return
	case driver.Endpoint:
		v.Set(reflect.ValueOf(driver.Endpoint{Network: "tcp", Address: fmt.Sprint("a", *n)}))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.String:
		v.SetString(fmt.Sprint("s", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{byte(*n), 0, 255})
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), n)
		}
	case reflect.Map:
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, k, n)
		fill(t, e, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(k, e)
	case reflect.Interface: // an error
		v.Set(reflect.ValueOf(faas.ErrNotFound))
	default:
		t.Fatalf("a field of kind %v: teach this test to fill it, and the wire to carry it", v.Kind())
	}
}

// across marshals and unmarshals a message.
func across[M proto.Message](t *testing.T, m M) M {
	data, err := proto.Marshal(m)
	require.NoError(t, err)
	back := m.ProtoReflect().New().Interface().(M)
	require.NoError(t, proto.Unmarshal(data, back))
	return back
}

func TestEveryFieldSurvivesTheWire(t *testing.T) {
	info := filled[driver.Info](t)
	gotInfo, err := infoFrom(across(t, infoTo(info)))
	require.NoError(t, err)
	assert.Equal(t, info, gotInfo)

	task := filled[driver.Task](t)
	task.Command[0], task.Env = "\xff", map[string]string{"A\xff": "\xfe"} // no UTF-8
	m, err := taskTo(&task)
	require.NoError(t, err)
	gotTask, err := taskFrom(across(t, m))
	require.NoError(t, err)
	assert.Equal(t, task, gotTask)

	st := filled[driver.Status](t)
	gotStatus, err := statusFrom(across(t, statusTo(st)))
	require.NoError(t, err)
	assert.Equal(t, st, gotStatus)
	running := st
	running.State, running.Exit, running.Ready = driver.StateRunning, nil, time.Time{}
	gotStatus, err = statusFrom(across(t, statusTo(running)))
	require.NoError(t, err)
	assert.Equal(t, running, gotStatus)

	line := filled[driver.LogLine](t)
	line.Stream, line.Text = "stderr", "\xff\x00"
	gotLine, err := lineFrom(across(t, lineTo(line)))
	require.NoError(t, err)
	assert.Equal(t, line, gotLine)

	h := filled[driver.Handle](t)
	assert.Equal(t, h, handleFrom(across(t, handleTo(h))))

	stats := filled[driver.Stats](t)
	gotStats, err := statsFrom(across(t, statsTo(stats)))
	require.NoError(t, err)
	assert.Equal(t, stats, gotStats)

	r := filled[driver.Recovery](t)
	assert.Equal(t, r, recoveryFrom(across(t, recoveryTo(r))))
}

// overWire is the error of a call that fails with err.
func overWire(t *testing.T, err error) error {
	got, transport := errorFrom(t.Context(), "op", "key", errorTo(err))
	assert.False(t, transport)
	return got
}

func TestEveryFieldOfAnErrorSurvivesTheWire(t *testing.T) {
	for _, class := range faas.Classes() {
		cause := errors.New("a cause")
		want := filled[faas.Error](t)
		want.Class, want.Err = class, cause
		var got *faas.Error
		require.ErrorAs(t, overWire(t, &want), &got)
		assert.Equal(t, want.Error(), got.Error())
		got.Err = cause
		assert.Equal(t, &want, got)
		assert.ErrorIs(t, overWire(t, fmt.Errorf("wrapped: %w", &want)), class)
		assert.Equal(t, class, faas.Class(overWire(t, errors.Join(errors.New("x"), &want))))
		assert.Equal(t, class, faas.Class(overWire(t, class)), "bare")
	}
	oom := (&driver.Exit{Reason: driver.ExitOutOfMemory}).Err("i1")
	got := overWire(t, oom)
	assert.ErrorIs(t, got, faas.ErrFunction)
	assert.ErrorIs(t, got, faas.ErrOutOfMemory)
	assert.Equal(t, oom.Error(), got.Error())
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	got = overWire(t, faas.ContextError(over, "c", "o", "k"))
	assert.ErrorIs(t, got, faas.ErrTimeout)
	assert.ErrorIs(t, got, context.DeadlineExceeded)
	assert.NoError(t, errorTo(nil))
	plain := overWire(t, errors.New("no class \xff"))
	assert.Equal(t, faas.ErrInternal, faas.Class(plain))
	assert.Equal(t, "no class \uFFFD", plain.Error())
}

func TestHugeErrorsAreBounded(t *testing.T) {
	err := error(faas.Errorf("c", "o", strings.Repeat("k", 1<<20), faas.ErrConflict, "%s", strings.Repeat("ü", 1<<13)))
	for range 20 {
		err = &faas.Error{Class: faas.ErrInternal, Err: err}
	}
	var many []error
	for range 20 {
		many = append(many, err)
	}
	got := overWire(t, errors.Join(many...))
	assert.Error(t, got)
	assert.Less(t, len(got.Error()), 4*maxErrorText)
}

func TestACodeAloneTellsTheClass(t *testing.T) {
	for _, class := range faas.Classes() {
		if class != faas.ErrClosed && class != faas.ErrOutOfMemory {
			assert.Equal(t, class, classOf(code(class)))
		}
	}
}

// FuzzMessages: whatever a plugin sends is a value that keeps the rules, or an error; never a panic.
func FuzzMessages(f *testing.F) {
	for _, m := range []proto.Message{infoTo(driver.Info{Name: "d", Contracts: []faas.Contract{"http"}}),
		statusTo(driver.Status{ID: "i", State: "running", Endpoint: driver.Endpoint{Network: "tcp", Address: "a"}}),
		lineTo(driver.LogLine{Stream: "stdout"}), handleTo(driver.Handle{ID: "i"}), &pb.Error{Class: "not found", Causes: []*pb.Error{{}}}} {
		data, err := proto.Marshal(m)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(m proto.Message) bool { return proto.Unmarshal(data, m) == nil }
		if m := new(pb.Info); read(m) {
			if i, err := infoFrom(m); err == nil {
				again, err := infoFrom(infoTo(i))
				assert.NoError(t, err)
				assert.Equal(t, i, again)
			}
		}
		if m := new(pb.Status); read(m) {
			if st, err := statusFrom(m); err == nil {
				assert.NoError(t, faas.ValidateName("id", st.ID))
				assert.Equal(t, st.State == driver.StateRunning, st.Exit == nil)
				again, err := statusFrom(statusTo(st))
				assert.NoError(t, err)
				assert.Equal(t, st, again)
			}
		}
		if m := new(pb.Task); read(m) {
			_, _ = taskFrom(m)
		}
		if m := new(pb.LogLine); read(m) {
			_, _ = lineFrom(m)
		}
		if m := new(pb.Stats); read(m) {
			_, _ = statsFrom(m)
		}
		if m := new(pb.RecoverResponse); read(m) {
			_ = recoveryFrom(m)
		}
		if m := new(pb.Error); read(m) {
			if err := unpack(m); err != nil {
				_ = errorTo(err)
				_ = faas.Class(err)
			}
		}
	})
}
