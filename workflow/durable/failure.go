package durable

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// failed is the error of a step that failed.
func failed(what, id string, f *workflow.Failure) error {
	if f == nil {
		f = &workflow.Failure{Name: workflow.FailureFunction}
	}
	return &faas.Error{Component: Name, Op: what, Key: id, Class: class(f.Name), Err: f}
}

// failedSteps returns the steps whose errors are in err.
func failedSteps(err error) []string {
	switch e := err.(type) {
	case *faas.Error:
		if _, ok := e.Err.(*workflow.Failure); ok && e.Component == Name && e.Key != "" {
			return []string{e.Key}
		}
		return failedSteps(e.Err)
	case interface{ Unwrap() []error }:
		var steps []string
		for _, err := range e.Unwrap() {
			steps = append(steps, failedSteps(err)...)
		}
		return steps
	case interface{ Unwrap() error }:
		return failedSteps(e.Unwrap())
	}
	return nil
}

// class is the error class for a failure's name.
func class(name string) error {
	switch name {
	case workflow.FailureTimeout, workflow.FailureHeartbeat:
		return faas.ErrTimeout
	case workflow.FailureCanceled, workflow.FailureTerminated:
		return faas.ErrCanceled
	case workflow.FailureNotFound:
		return faas.ErrNotFound
	case workflow.FailureRejected:
		return faas.ErrDenied
	case workflow.FailurePlatform:
		return faas.ErrUnavailable
	case workflow.FailureLimit:
		return faas.ErrExhausted
	case workflow.FailureProgram:
		return faas.ErrInternal
	}
	return faas.ErrFunction
}

// again is the error that ContinueAsNew returns.
type again struct{ input workflow.Payload }

func (*again) Error() string { return "durable: the workflow continues as new" }

func continuation(err error) *again {
	var a *again
	errors.As(err, &a)
	return a
}

// ContinueAsNew returns the error with which a workflow's function ends its log and starts afresh, as the same
// execution, with in as its input. Signals that nobody received are carried over; open steps are closed.
func ContinueAsNew(in any) error {
	p, err := encode(in)
	if err != nil {
		return err
	}
	return &again{input: p}
}

// failure turns the error of a workflow's function into the execution's failure.
func failure(err error) *workflow.Failure {
	out := &workflow.Failure{Name: workflow.FailureFunction, Cause: err.Error()}
	var f *workflow.Failure
	if errors.As(err, &f) {
		out.Name, out.Status, out.Details = f.Name, f.Status, f.Details
		if err == error(f) {
			out.Cause = f.Cause
		}
	}
	return out
}

// Failed reports whether err is, or wraps, a failure of that name: `durable.Failed(err, "CardDeclined")`.
func Failed(err error, name string) bool {
	var f *workflow.Failure
	return errors.As(err, &f) && f.Name == name
}

// stack is where the panic that is being recovered came from. Without addresses and numbers of
// goroutines, so that it is the same in every replay.
func stack() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var b strings.Builder
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "durable.(*coroutine).run") {
			break
		}
		if !strings.HasPrefix(frame.Function, "runtime.") {
			fmt.Fprintf(&b, "%s\n\t%s:%d\n", frame.Function, frame.File, frame.Line)
		}
		if !more {
			break
		}
	}
	return b.String()
}

// wild says where workflow code is that does not come back: goroutines of coroutines that are not parked.
func wild() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for _, g := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(g, "durable.(*coroutine).run(") && !strings.Contains(g, "durable.(*execution).park(") {
			return "; it is here:\n" + g
		}
	}
	return ""
}
