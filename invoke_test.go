package faas_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/joinery/faas"
)

func TestOutcomeOf(t *testing.T) {
	for status, want := range map[int]faas.Outcome{
		0: faas.Success, 200: faas.Success, 302: faas.Success, 404: faas.Success, 499: faas.Success,
		500: faas.FunctionError, 503: faas.FunctionError, 599: faas.FunctionError,
	} {
		assert.Equal(t, want, faas.OutcomeOf(&faas.Response{Status: status}, nil), status)
	}
	want := map[error]faas.Outcome{
		faas.ErrFunction: faas.FunctionError, faas.ErrOutOfMemory: faas.FunctionError, faas.ErrTimeout: faas.FunctionTimeout,
		faas.ErrCanceled: faas.Cancelled, faas.ErrExhausted: faas.Rejected, faas.ErrInvalidArgument: faas.Rejected,
		faas.ErrNotFound: faas.Rejected, faas.ErrDenied: faas.Rejected, faas.ErrAlreadyExists: faas.PlatformError,
		faas.ErrConflict: faas.PlatformError, faas.ErrUnimplemented: faas.PlatformError, faas.ErrUnavailable: faas.PlatformError,
		faas.ErrClosed: faas.PlatformError, faas.ErrCorrupt: faas.PlatformError, faas.ErrInternal: faas.PlatformError,
	}
	for _, class := range faas.Classes() {
		outcome, ok := want[class]
		assert.True(t, ok, "%v has no expected outcome", class)
		assert.Equal(t, outcome, faas.OutcomeOf(nil, faas.Errorf("c", "o", "", class, "x")), class)
	}
	assert.Equal(t, faas.Cancelled, faas.OutcomeOf(nil, fmt.Errorf("read: %w", context.Canceled)))
	assert.Equal(t, faas.FunctionTimeout, faas.OutcomeOf(nil, context.DeadlineExceeded))
	assert.Equal(t, faas.PlatformError, faas.OutcomeOf(nil, errors.New("anything")))
	assert.Equal(t, faas.FunctionError, faas.OutcomeOf(nil, errors.Join(faas.ErrFunction, faas.ErrUnavailable)))
}

func TestOutcomeNames(t *testing.T) {
	var names []string
	for o := faas.Success - 1; o <= faas.Cancelled+1; o++ {
		names = append(names, o.String())
	}
	assert.Equal(t, []string{"outcome(-1)", "success", "function_error", "function_timeout", "platform_error", "rejected", "cancelled", "outcome(6)"}, names)
}

func TestStatusCode(t *testing.T) {
	assert.Equal(t, 200, (&faas.Response{}).StatusCode())
	assert.Equal(t, 418, (&faas.Response{Status: 418}).StatusCode())
}
