package memnaming

import (
	"context"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

const component = "naming service"

// maxKey keeps a hostile name from filling an error message.
const maxKey = 100

func failf(op, key string, class error, format string, args ...any) *faas.Error {
	if len(key) > maxKey {
		key = key[:maxKey] + "…"
	}
	return faas.Errorf(component, op, key, class, format, args...)
}

func contextError(ctx context.Context, op, key string) error {
	return faas.ContextError(ctx, component, op, key)
}

func closedError(op, key string) error {
	return failf(op, key, faas.ErrClosed, "the service was closed")
}

func leaseError(op, key string, id orchestrator.LeaseID) error {
	err := failf(op, key, faas.ErrNotFound, "lease %d is unknown, revoked or expired", id)
	err.Next = "grant a new lease"
	return err
}
