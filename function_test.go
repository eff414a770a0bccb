package faas_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

// fill sets every field below v to something that is not zero; n makes the values differ.
func fill(t *testing.T, v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("v%d <&>\u2028 \" ü", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint64:
		v.SetUint(math.MaxUint64 - uint64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(*n), 123456789).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0), n)
		fill(t, v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key, n)
			fill(t, val, n)
			v.SetMapIndex(key, val)
		}
	default:
		t.Fatalf("a Spec is plain data; it has a %v", v.Type())
	}
}

func filledSpec(t *testing.T) faas.Spec {
	var s faas.Spec
	n := 0
	fill(t, reflect.ValueOf(&s).Elem(), &n)
	return s
}

func TestEveryFieldOfASpecSurvivesJSON(t *testing.T) {
	want := filledSpec(t)
	text, err := json.Marshal(want)
	require.NoError(t, err)
	var got faas.Spec
	require.NoError(t, json.Unmarshal(text, &got))
	assert.Equal(t, want, got)

	text, err = json.Marshal(faas.Spec{})
	require.NoError(t, err)
	assert.JSONEq(t, `{"contract":"","command":null}`, string(text), "what is zero is left out")
}

func TestCloneSharesNothing(t *testing.T) {
	want := filledSpec(t)
	c := want.Clone()
	assert.Equal(t, want, c)
	ruin(t, reflect.ValueOf(&c).Elem())
	assert.Equal(t, filledSpec(t), want, "a change of the clone reached the original")

	empty := faas.Spec{Command: []string{}, Env: map[string]string{}, Labels: map[string]string{}, Constraints: []faas.Constraint{}}
	assert.Equal(t, faas.Spec{}, empty.Clone())
}

// ruin changes everything that two copies could share.
func ruin(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			ruin(t, v.Field(i))
		}
	case reflect.Slice:
		v.Index(0).SetZero()
	case reflect.Map:
		v.Clear()
	case reflect.Pointer, reflect.Interface, reflect.Chan, reflect.Func:
		t.Fatalf("a Spec is plain data; it has a %v", v.Type())
	}
}

func least() faas.Spec { return faas.Spec{Contract: faas.ContractHandler, Command: []string{"x"}} }

func TestSpecValidateReportsEveryFaultAtOnce(t *testing.T) {
	bad := faas.Spec{
		Contract: "HTTP", Code: "md5:1", Env: map[string]string{"A=B": ""}, Labels: map[string]string{"": "x"}, Driver: "No",
		Constraints: []faas.Constraint{{Field: "zone"}}, Concurrency: -1, Timeout: -1, StartTimeout: -1, Grace: -1,
		Requests:  faas.Resources{MilliCPU: -1, Memory: -1, Pids: -1, Files: -1, FileSize: -1},
		Limits:    faas.Resources{MilliCPU: -1, Memory: -1, Pids: -1, Files: -1, FileSize: -1},
		Isolation: 9, Scale: faas.Scale{Min: -1, Max: -1, Initial: -1, Target: math.NaN(), KeepAlive: -1},
	}
	err := bad.Validate()
	require.Error(t, err)
	got := make(map[string]bool)
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var fault *faas.Error
		require.True(t, errors.As(e, &fault))
		assert.ErrorIs(t, e, faas.ErrInvalidArgument)
		got[fault.Key] = true
	}
	for _, field := range []string{"contract", "digest", "command", "env", "labels", "driver", "constraints", "concurrency", "timeout",
		"startTimeout", "grace", "requests.milliCPU", "requests.memory", "requests.pids", "requests.files", "requests.fileSize",
		"limits.milliCPU", "limits.memory", "limits.pids", "limits.files", "limits.fileSize", "isolation",
		"scale.min", "scale.max", "scale.initial", "scale.target", "scale.keepAlive"} {
		assert.True(t, got[field], "%s is not reported", field)
		delete(got, field)
	}
	assert.Empty(t, got)
}

func TestSpecValidate(t *testing.T) {
	spec := least()
	assert.NoError(t, spec.Validate())
	big := strings.Repeat("x", 256<<10)
	many := make(map[string]string)
	for i := range 1025 {
		many[fmt.Sprintf("E%d", i)] = ""
	}
	for name, spoil := range map[string]func(*faas.Spec){
		"an empty program":        func(s *faas.Spec) { s.Command = []string{""} },
		"a NUL in an argument":    func(s *faas.Spec) { s.Command = append(s.Command, "a\x00b") },
		"a NUL in a variable":     func(s *faas.Spec) { s.Env = map[string]string{"A": "\x00"} },
		"bytes that are no text":  func(s *faas.Spec) { s.Command = append(s.Command, "\xff") },
		"a label that is no text": func(s *faas.Spec) { s.Labels = map[string]string{"\xff": ""} },
		"a variable 1A":           func(s *faas.Spec) { s.Env = map[string]string{"1A": ""} },
		"a variable é":            func(s *faas.Spec) { s.Env = map[string]string{"é": ""} },
		"a variable without name": func(s *faas.Spec) { s.Env = map[string]string{"": ""} },
		"too much text":           func(s *faas.Spec) { s.Command = append(s.Command, big) },
		"too many variables":      func(s *faas.Spec) { s.Env = many },
		"max below min":           func(s *faas.Spec) { s.Scale = faas.Scale{Min: 3, Max: 2} },
		"max below initial":       func(s *faas.Spec) { s.Scale = faas.Scale{Initial: 3, Max: 2} },
		"an infinite target":      func(s *faas.Spec) { s.Scale.Target = math.Inf(1) },
		"negative isolation":      func(s *faas.Spec) { s.Isolation = -1 },
		"a driver with a dot":     func(s *faas.Spec) { s.Driver = "../x" },
	} {
		s := least()
		spoil(&s)
		err := s.Validate()
		assert.ErrorIs(t, err, faas.ErrInvalidArgument, name)
		assert.Less(t, len(err.Error()), 1000, name)
	}
}

func TestDigestValidate(t *testing.T) {
	good := "sha256:" + strings.Repeat("0a", 32)
	assert.NoError(t, faas.Digest(good).Validate())
	for _, bad := range []string{"", "sha256:", good + "0", good[:70], strings.ToUpper(good), "sha512:" + good[7:], good[:70] + "g", good[:69] + "\x00\x00", "sha256:../" + good[10:]} {
		assert.ErrorIs(t, faas.Digest(bad).Validate(), faas.ErrInvalidArgument, bad)
	}
}

func TestSpecDefaults(t *testing.T) {
	for set, want := range map[int]int{-1: 1, 0: 1, 1: 1, 80: 80} {
		assert.Equal(t, want, (&faas.Spec{Concurrency: set}).MaxPerInstance())
	}
	var names []string
	for i := faas.IsolationNone - 1; i <= faas.IsolationVM+1; i++ {
		names = append(names, i.String())
	}
	assert.Equal(t, []string{"isolation(-1)", "L0 none", "L1 process", "L2 sandbox", "L3 container", "L4 vm", "isolation(5)"}, names)
}
