package faas

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The closed set of error classes. A component never returns one of them bare:
// it wraps the class in an [*Error] that says where, on what and why. Callers
// test with errors.Is, which also holds across the driver-plugin boundary.
var (
	// ErrInvalidArgument: the caller's input breaks a rule; the same call fails again.
	ErrInvalidArgument = errors.New("invalid argument")
	// ErrNotFound: the named thing does not exist.
	ErrNotFound = errors.New("not found")
	// ErrAlreadyExists: the name is taken.
	ErrAlreadyExists = errors.New("already exists")
	// ErrConflict: a compare-and-swap lost, or the thing is not in the state the call needs.
	ErrConflict = errors.New("conflict")
	// ErrUnimplemented: this implementation does not offer that power (a missing capability).
	ErrUnimplemented = errors.New("unimplemented")
	// ErrDenied: the caller may not do that.
	ErrDenied = errors.New("denied")
	// ErrExhausted: a bound is reached: queue, quota, capacity, size. Later or less may work.
	ErrExhausted = errors.New("exhausted")
	// ErrUnavailable: a part that is needed does not answer now; a retry may work.
	ErrUnavailable = errors.New("unavailable")
	// ErrTimeout: a deadline passed. Matches context.DeadlineExceeded where that caused it.
	ErrTimeout = errors.New("timeout")
	// ErrCanceled: the caller gave up. Matches context.Canceled where that caused it.
	ErrCanceled = errors.New("canceled")
	// ErrClosed: the value was closed or shut down before the call.
	ErrClosed = errors.New("closed")
	// ErrCorrupt: stored data does not match its checksum or cannot be decoded.
	ErrCorrupt = errors.New("corrupt")
	// ErrFunction: the function itself failed: it crashed, returned an error or broke its contract.
	ErrFunction = errors.New("function error")
	// ErrOutOfMemory: the function went over its memory limit. Always together with ErrFunction.
	ErrOutOfMemory = errors.New("out of memory")
	// ErrInternal: a fault of the platform; also the class of errors that carry no other.
	ErrInternal = errors.New("internal error")
)

// classes is in order of precedence for Class: the more specific first.
var classes = []error{
	ErrOutOfMemory, ErrFunction, ErrInvalidArgument, ErrNotFound, ErrAlreadyExists, ErrConflict,
	ErrUnimplemented, ErrDenied, ErrExhausted, ErrClosed, ErrCorrupt, ErrTimeout, ErrCanceled,
	ErrUnavailable, ErrInternal,
}

// Classes returns every error class, the more specific before the more general.
// It is what a wire protocol needs to carry classes: the text of each is its name.
func Classes() []error { return append([]error(nil), classes...) }

// Class returns the most specific class err belongs to: nil for nil, ErrTimeout
// and ErrCanceled for bare context errors, ErrInternal for an error without a class.
func Class(err error) error {
	if err == nil {
		return nil
	}
	for _, c := range classes {
		if errors.Is(err, c) {
			return c
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout
	case errors.Is(err, context.Canceled):
		return ErrCanceled
	}
	return ErrInternal
}

// Error is the one error type of the project. Every field but Class is optional.
type Error struct {
	// Component is the box that failed, in the paper's words: "registry", "router", "node agent".
	Component string
	// Op is what it was doing: "publish", "start".
	Op string
	// Key is what it was doing it to: a Ref, an instance id, a field.
	Key string
	// Class is one of this package's error classes.
	Class error
	// Err is the detail or the cause.
	Err error
	// Next says what the reader can do about it, as a short sentence.
	Next string
	// RetryAfter, when positive, says when a retry may succeed.
	RetryAfter time.Duration
}

// Error joins the parts: `router: invoke "default/hello": exhausted: queue is full (1000 waiting); raise ...`.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Component != "" {
		b.WriteString(e.Component)
	}
	if e.Op != "" {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(e.Op)
	}
	if e.Key != "" {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%q", e.Key)
	}
	for _, err := range [...]error{e.Class, e.Err} {
		if err == nil {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(err.Error())
	}
	if e.Next != "" {
		b.WriteString("; ")
		b.WriteString(e.Next)
	}
	return b.String()
}

// Unwrap makes errors.Is true for the class and for the cause.
func (e *Error) Unwrap() []error {
	errs := make([]error, 0, 2)
	if e.Class != nil {
		errs = append(errs, e.Class)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// Errorf returns an *Error of the given class; the format may wrap a cause with %w.
func Errorf(component, op, key string, class error, format string, args ...any) *Error {
	return &Error{Component: component, Op: op, Key: key, Class: class, Err: fmt.Errorf(format, args...)}
}

// ContextError turns the state of a finished context into a classed error:
// ErrTimeout after a deadline, ErrCanceled otherwise; the context's cause is the detail.
func ContextError(ctx context.Context, component, op, key string) *Error {
	class := ErrCanceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		class = ErrTimeout
	}
	err := context.Cause(ctx)
	if err == nil {
		err = ctx.Err()
	}
	return &Error{Component: component, Op: op, Key: key, Class: class, Err: err}
}
