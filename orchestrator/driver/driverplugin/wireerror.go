package driverplugin

import (
	"context"
	"errors"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/joinery/faas"
	pb "github.com/joinery/faas/orchestrator/driver/driverplugin/driverpb"
)

// The bounds of an error on the wire: it travels in a header.
const (
	maxErrorText  = 16 << 10 // of all its texts together
	maxErrorNodes = 64
)

// code is the gRPC code of each class, for those who look at nothing else.
func code(class error) codes.Code {
	switch class {
	case faas.ErrInvalidArgument:
		return codes.InvalidArgument
	case faas.ErrNotFound:
		return codes.NotFound
	case faas.ErrAlreadyExists:
		return codes.AlreadyExists
	case faas.ErrConflict, faas.ErrClosed:
		return codes.FailedPrecondition
	case faas.ErrUnimplemented:
		return codes.Unimplemented
	case faas.ErrDenied:
		return codes.PermissionDenied
	case faas.ErrExhausted:
		return codes.ResourceExhausted
	case faas.ErrUnavailable:
		return codes.Unavailable
	case faas.ErrTimeout:
		return codes.DeadlineExceeded
	case faas.ErrCanceled:
		return codes.Canceled
	case faas.ErrCorrupt:
		return codes.DataLoss
	case faas.ErrFunction, faas.ErrOutOfMemory:
		return codes.Aborted
	}
	return codes.Internal
}

// classOf is the class that a code stands for.
func classOf(c codes.Code) error {
	for _, class := range faas.Classes() {
		if class != faas.ErrClosed && class != faas.ErrOutOfMemory && code(class) == c {
			return class
		}
	}
	return faas.ErrInternal
}

// errorTo makes a gRPC status of an error; nil of nil.
func errorTo(err error) error {
	if err == nil {
		return nil
	}
	p := packer{text: maxErrorText, nodes: maxErrorNodes}
	// The message repeats the beginning of the detail, for readers that know gRPC only.
	st, _ := status.New(code(faas.Class(err)), clipTo(text(err.Error()), 1<<10)).WithDetails(p.pack(err))
	return st.Err()
}

// packer makes a message of an error, within bounds.
type packer struct{ text, nodes int }

func (p *packer) take(s string) string {
	s = clipTo(text(s), p.text)
	p.text -= len(s)
	return s
}

// clipTo cuts between characters.
func clipTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// leaves are the errors that are known by name: the classes and those of contexts.
func leaves() []error {
	return append(faas.Classes(), context.DeadlineExceeded, context.Canceled)
}

func (p *packer) pack(err error) *pb.Error {
	p.nodes--
	if err == nil {
		return nil
	}
	for _, leaf := range leaves() {
		if err == leaf { // itself, not what it wraps
			return &pb.Error{Class: leaf.Error()}
		}
	}
	m := &pb.Error{}
	var causes []error
	switch e := err.(type) {
	case *faas.Error:
		m.Component, m.Op, m.Key, m.Next = p.take(e.Component), p.take(e.Op), p.take(e.Key), p.take(e.Next)
		m.RetryAfter = durationTo(e.RetryAfter)
		m.Class = faas.ErrInternal.Error()
		if e.Class != nil {
			m.Class = faas.Class(e.Class).Error()
		}
		if e.Err != nil {
			causes = []error{e.Err}
		}
	case interface{ Unwrap() []error }:
		m.Text, causes = p.take(err.Error()), e.Unwrap()
	default:
		m.Text = p.take(err.Error())
		if cause := errors.Unwrap(err); cause != nil {
			causes = []error{cause}
		} else if class := faas.Class(err); class != faas.ErrInternal { // by an Is method
			causes = []error{class}
		}
	}
	for _, cause := range causes {
		if cause != nil && p.nodes > 0 {
			m.Causes = append(m.Causes, p.pack(cause))
		}
	}
	return m
}

// foreign is an error of the other side that is none of package faas.
type foreign struct {
	text   string
	causes []error
}

func (e *foreign) Error() string   { return e.text }
func (e *foreign) Unwrap() []error { return e.causes }

// unpack is the inverse of pack. It takes any message.
func unpack(m *pb.Error) error { return unpackWithin(m, new(int)) }

func unpackWithin(m *pb.Error, nodes *int) error {
	if *nodes++; *nodes > maxErrorNodes {
		return nil
	}
	var causes []error
	for _, c := range m.GetCauses() {
		if cause := unpackWithin(c, nodes); cause != nil {
			causes = append(causes, cause)
		}
	}
	var class error
	for _, leaf := range leaves() {
		if leaf.Error() == m.GetClass() {
			class = leaf
		}
	}
	fields := m.GetComponent() != "" || m.GetOp() != "" || m.GetKey() != "" || m.GetNext() != "" || m.GetRetryAfter() != nil
	switch {
	case m.GetClass() == "" && !fields:
		return &foreign{m.GetText(), causes}
	case class != nil && !fields && len(causes) == 0 && m.GetText() == "":
		return class
	case class == nil || class == context.DeadlineExceeded || class == context.Canceled:
		class = faas.ErrInternal
	}
	e := &faas.Error{Component: m.GetComponent(), Op: m.GetOp(), Key: m.GetKey(), Class: class, Next: m.GetNext()}
	if d, err := durationFrom("error.retry_after", m.GetRetryAfter()); err == nil && d > 0 {
		e.RetryAfter = d
	}
	switch {
	case len(causes) == 1 && m.GetText() == "":
		e.Err = causes[0]
	case len(causes) > 0 || m.GetText() != "":
		e.Err = &foreign{m.GetText(), causes}
	}
	return e
}

// errorFrom makes the driver's error again of what a call returned; nil of nil. It also
// reports whether the call never came to an answer: the transport failed, not the driver.
func errorFrom(ctx context.Context, op, key string, err error) (driverError error, transport bool) {
	if err == nil {
		return nil, false
	}
	st := status.Convert(err)
	for _, d := range st.Details() {
		if m, ok := d.(*pb.Error); ok {
			return unpack(m), false
		}
	}
	if ctx.Err() != nil {
		return faas.ContextError(ctx, component, op, key), false
	}
	switch st.Code() {
	case codes.DeadlineExceeded:
		return faas.Errorf(component, op, key, faas.ErrTimeout, "the plugin did not answer in time"), false
	case codes.Unavailable, codes.Canceled:
		return faas.Errorf(component, op, key, faas.ErrUnavailable, "the connection broke: %s", st.Message()), true
	}
	return faas.Errorf(component, op, key, classOf(st.Code()), "%s", st.Message()), false
}
