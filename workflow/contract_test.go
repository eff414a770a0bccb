package workflow_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

func TestRetryPicksTheFirstRuleThatNamesTheFailure(t *testing.T) {
	r := workflow.Retry{{Failures: []string{"A", "B"}, Max: 1}, {Failures: []string{workflow.AnyFailure}, Max: 2}}
	for name, want := range map[string]int{
		"A": 0, "B": 0, "C": 1, workflow.FailureTimeout: 1,
		workflow.FailureCanceled: -1, workflow.FailureTerminated: -1, workflow.FailureProgram: -1,
	} {
		assert.Equal(t, want, r.Rule(name), name)
	}
	assert.Equal(t, -1, workflow.Retry(nil).Rule("A"))
}

func TestRetryDelay(t *testing.T) {
	second := time.Second
	for _, c := range []struct {
		rule   workflow.RetryRule
		n      int
		random float64
		want   time.Duration
	}{
		{workflow.RetryRule{}, 3, 0.5, 0},
		{workflow.RetryRule{Interval: second}, 0, 0.5, second},
		{workflow.RetryRule{Interval: second}, 3, 0.5, 8 * second},
		{workflow.RetryRule{Interval: second, Rate: 1}, 9, 0.5, second},
		{workflow.RetryRule{Interval: second, MaxInterval: 5 * second}, 3, 0.5, 5 * second},
		{workflow.RetryRule{Interval: second}, 5000, 0.5, 24 * time.Hour},
		{workflow.RetryRule{Interval: second, Jitter: workflow.JitterFull}, 1, 0.25, second / 2},
		{workflow.RetryRule{Interval: second, Jitter: workflow.JitterEqual}, 1, 0.5, 3 * second / 2},
	} {
		assert.Equal(t, c.want, c.rule.Delay(c.n, c.random), "%+v retry %d", c.rule, c.n)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	err := (&workflow.StepOptions{Timeout: -1, Heartbeat: -1, Deadline: -1, Slots: -1, Pool: "A b",
		Retry: workflow.Retry{{Max: -1, Interval: -1, Rate: 0.5, Jitter: "some"}}}).Validate()
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"timeout", "heartbeat", "deadline", "slots", "pool", "retry.failures", "retry.max", "retry.interval", "retry.rate", "retry.jitter"} {
		assert.ErrorContains(t, err, field)
	}
	require.NoError(t, (*workflow.StepOptions)(nil).Validate())

	err = (&workflow.Definition{Ref: faas.Ref{Name: "A"}, Durability: "most", Timeout: -1, Retention: -1,
		Source: strings.Repeat("x", workflow.MaxSource+1)}).Validate()
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"name", "language", "source", "durability", "timeout", "retention"} {
		assert.ErrorContains(t, err, field)
	}
}

func TestExecutionRef(t *testing.T) {
	for text, want := range map[string]workflow.ExecutionRef{
		"a":             {Namespace: "default", ID: "a"},
		"ns/Order 7":    {Namespace: "ns", ID: "Order 7"},
		"ns/a:b@c.d#12": {Namespace: "ns", ID: "a:b@c.d", Run: 12},
	} {
		got, err := workflow.ParseExecutionRef(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
		again, err := workflow.ParseExecutionRef(got.String())
		require.NoError(t, err)
		assert.Equal(t, want, again)
	}
	for _, text := range []string{"", "/a", "NS/a", "ns/", "a/b/c", "a#", "a#0", "a#-1", "a#x", "a\n", "a\u202eb", "\xff", strings.Repeat("x", 256)} {
		_, err := workflow.ParseExecutionRef(text)
		require.ErrorIs(t, err, faas.ErrInvalidArgument, "%q", text)
	}
}

func TestToken(t *testing.T) {
	secret := []byte("0123456789abcdef")
	want := workflow.Token{Execution: workflow.ExecutionRef{Namespace: "ns", ID: "x", Run: 2}, Step: "a/b[3]", Attempt: 4}
	text := want.Sign(secret)
	got, err := workflow.ParseToken(text)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.True(t, got.Verify(text, secret))
	assert.False(t, got.Verify(text, []byte("another")))
	assert.False(t, got.Verify(text[:len(text)-1], secret))
	forged := got
	forged.Step = "other"
	assert.False(t, forged.Verify(text, secret))
	for _, bad := range []string{"", ".", "abc", "e30.x", text[:5]} {
		_, err := workflow.ParseToken(bad)
		require.ErrorIs(t, err, faas.ErrInvalidArgument, "%q", bad)
	}
}

type language struct {
	name     string
	compiled int
}

func (l *language) Name() string { return l.name }
func (l *language) Compile(d *workflow.Definition) (workflow.Program, error) {
	l.compiled++
	var faults workflow.Diagnostics
	for i, word := range strings.Fields(d.Source) {
		if word == "bad" {
			faults = append(faults, workflow.Diagnostic{Path: "words", Rule: "must be good", Line: 1, Column: i + 1})
		}
	}
	return nil, faults.Err()
}

func TestLanguagesCompileOnce(t *testing.T) {
	l := &language{name: "words"}
	set, err := workflow.NewLanguages(l)
	require.NoError(t, err)
	assert.Equal(t, []string{"words"}, set.Names())

	d := workflow.Definition{Ref: faas.Ref{Name: "a"}, Language: "words", Source: "good"}
	for range 3 {
		_, err = set.Compile(&d)
		require.NoError(t, err)
	}
	assert.Equal(t, 1, l.compiled)

	d.Source = "bad good bad"
	_, err = set.Compile(&d)
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	var faults workflow.Diagnostics
	require.True(t, errors.As(err, &faults))
	assert.Len(t, faults, 2)
	assert.ErrorContains(t, err, "line 1, column 3")

	d.Language = "latin"
	_, err = set.Compile(&d)
	require.ErrorIs(t, err, faas.ErrUnimplemented)

	_, err = workflow.NewLanguages(l, l)
	require.ErrorIs(t, err, faas.ErrAlreadyExists)
	_, err = workflow.NewLanguages(&language{})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
}

func TestEventKinds(t *testing.T) {
	for k := workflow.ExecutionStarted; k <= workflow.ExecutionRecovered; k++ {
		text, err := k.MarshalText()
		require.NoError(t, err)
		var back workflow.EventKind
		require.NoError(t, back.UnmarshalText(text))
		assert.Equal(t, k, back)
		assert.Equal(t, k.Closes(), !k.Status().Open())
	}
	require.Error(t, new(workflow.EventKind).UnmarshalText([]byte("event-unknown")))
}

func TestExecutionQueryMatches(t *testing.T) {
	at := time.Unix(1000, 0)
	x := workflow.Execution{Ref: workflow.ExecutionRef{Namespace: "ns", ID: "a", Run: 1}, Workflow: faas.Ref{Namespace: "ns", Name: "w", Version: "1"},
		Status: workflow.StatusFailed, Started: at, Keep: at.Add(time.Hour), Attributes: map[string]string{"k": "v"}}
	for _, q := range []workflow.ExecutionQuery{
		{}, {Namespace: "ns", Workflow: "w", ID: "a"}, {Statuses: []workflow.Status{workflow.StatusFailed}},
		{Attributes: map[string]string{"k": "v"}}, {StartedFrom: at, StartedBefore: at.Add(1)}, {KeptUntil: at.Add(time.Hour)},
	} {
		assert.True(t, q.Matches(&x), "%+v", q)
	}
	for _, q := range []workflow.ExecutionQuery{
		{Namespace: "other"}, {Workflow: "v"}, {ID: "b"}, {Statuses: []workflow.Status{workflow.StatusRunning}},
		{Attributes: map[string]string{"k": "w"}}, {StartedFrom: at.Add(1)}, {StartedBefore: at}, {KeptUntil: at},
	} {
		assert.False(t, q.Matches(&x), "%+v", q)
	}
}
