package faas_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/joinery/faas"
)

func TestClassesAreDistinctAndComplete(t *testing.T) {
	classes := faas.Classes()
	assert.Len(t, classes, 15)
	texts := make(map[string]bool)
	for _, c := range classes {
		assert.False(t, texts[c.Error()], "the text %q names two classes", c)
		texts[c.Error()] = true
		assert.Equal(t, c, faas.Class(c))
		assert.Equal(t, c, faas.Class(fmt.Errorf("around: %w", faas.Errorf("c", "o", "k", c, "detail"))))
		for _, other := range classes {
			assert.Equal(t, c == other, errors.Is(c, other))
		}
	}
	classes[0] = nil
	assert.NotNil(t, faas.Classes()[0], "the caller's slice is its own")
}

func TestClassTakesTheMoreSpecific(t *testing.T) {
	for _, c := range []struct {
		err  error
		want error
	}{
		{nil, nil},
		{errors.New("anything"), faas.ErrInternal},
		{context.Canceled, faas.ErrCanceled},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), faas.ErrTimeout},
		{errors.Join(faas.ErrFunction, faas.ErrOutOfMemory), faas.ErrOutOfMemory},
		{errors.Join(faas.ErrUnavailable, faas.ErrTimeout), faas.ErrTimeout},
		{errors.Join(faas.ErrInternal, faas.ErrNotFound), faas.ErrNotFound},
		{faas.Errorf("a", "b", "c", faas.ErrUnavailable, "%w", context.Canceled), faas.ErrUnavailable},
	} {
		assert.Equal(t, c.want, faas.Class(c.err), "%v", c.err)
	}
}

func TestErrorText(t *testing.T) {
	full := faas.Error{Component: "router", Op: "invoke", Key: "default/hello", Class: faas.ErrExhausted,
		Err: errors.New("1000 are waiting"), Next: "raise the bound"}
	for want, e := range map[string]faas.Error{
		`router: invoke "default/hello": exhausted: 1000 are waiting; raise the bound`: full,
		"router":                             {Component: "router"},
		"invoke":                             {Op: "invoke"},
		`"a\nb"`:                             {Key: "a\nb"},
		"closed":                             {Class: faas.ErrClosed},
		"":                                   {},
		"router: stop: closed; open another": {Component: "router", Op: "stop", Class: faas.ErrClosed, Next: "open another"},
	} {
		assert.Equal(t, want, e.Error())
	}
}

func TestErrorMatchesClassAndCause(t *testing.T) {
	err := error(&faas.Error{Class: faas.ErrCorrupt, Err: fmt.Errorf("file: %w", io.ErrUnexpectedEOF), RetryAfter: time.Second})
	assert.ErrorIs(t, err, faas.ErrCorrupt)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.NotErrorIs(t, err, faas.ErrNotFound)
	var e *faas.Error
	assert.ErrorAs(t, fmt.Errorf("around: %w", err), &e)
	assert.Equal(t, time.Second, e.RetryAfter)
	assert.Empty(t, (&faas.Error{}).Unwrap())
}

func TestContextError(t *testing.T) {
	reason := errors.New("the user left")
	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	err := faas.ContextError(canceled, "router", "invoke", "a")
	assert.ErrorIs(t, err, faas.ErrCanceled)
	assert.ErrorIs(t, err, reason)
	assert.Equal(t, `router: invoke "a": canceled: the user left`, err.Error())

	plain, stop := context.WithCancel(t.Context())
	stop()
	assert.ErrorIs(t, faas.ContextError(plain, "c", "o", ""), context.Canceled)

	late, stop := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer stop()
	err = faas.ContextError(late, "router", "invoke", "a")
	assert.ErrorIs(t, err, faas.ErrTimeout)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NotErrorIs(t, err, faas.ErrCanceled)
}
