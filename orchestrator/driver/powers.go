package driver

import (
	"context"
	"iter"
	"time"
)

// LogSource is an optional power of a driver (Info.Logs): the output of its tasks.
type LogSource interface {
	// Logs yields the kept lines of a listed task, the oldest first, and with
	// follow each new one until the task is gone. Errors: ErrNotFound, ErrClosed; when ctx
	// ends the sequence ends with ErrCanceled or ErrTimeout.
	Logs(ctx context.Context, id string, o LogOptions) iter.Seq2[LogLine, error]
}

// LogOptions choose lines.
type LogOptions struct {
	// Tail is how many of the kept lines to begin with. Zero: all of them.
	Tail int
	// Follow goes on with new lines.
	Follow bool
}

// LogLine is one line of output, without its newline.
type LogLine struct {
	Time time.Time
	// Stream is "stdout" or "stderr".
	Stream string
	Text   string
	// Truncated: the line was longer than the driver's cap and was cut.
	Truncated bool
	// Dropped is how many lines before this one were dropped by the driver's rate or size cap.
	Dropped int64
}

// Unwrapper is implemented by drivers that wrap another one.
type Unwrapper interface {
	Unwrap() Driver
}

// Find returns the optional power T of d, looking through wrappers:
//
//	if src, ok := driver.Find[driver.LogSource](d); ok { ... }
func Find[T any](d Driver) (T, bool) {
	for d != nil {
		if p, ok := d.(T); ok {
			return p, true
		}
		u, ok := d.(Unwrapper)
		if !ok {
			break
		}
		d = u.Unwrap()
	}
	var none T
	return none, false
}
