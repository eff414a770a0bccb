package driver

import (
	"context"
	"iter"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/clip"
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

// Pauser is an optional power of a driver (Info.Pause): an instance that is frozen keeps its
// memory and costs no CPU, and serves again much sooner than a new one.
type Pauser interface {
	// Pause freezes a running task; requests sent to it wait. Pausing twice is nil. Stop and
	// Close end a paused task as they end any other. Errors: ErrNotFound, ErrConflict (it ended).
	Pause(ctx context.Context, id string) error
	// Resume lets a paused task go on. Resuming one that is not paused is nil. Errors: as Pause.
	Resume(ctx context.Context, id string) error
}

// StatsSource is an optional power of a driver (Info.Stats): what its tasks use.
type StatsSource interface {
	// Stats measures a running task now. Errors: ErrNotFound, ErrConflict (it ended).
	Stats(ctx context.Context, id string) (Stats, error)
}

// Stats is what a task uses, with all its processes.
type Stats struct {
	// CPU is the processor time it has used since it started.
	CPU time.Duration `json:"cpu"`
	// Memory is what it holds, in bytes.
	Memory int64 `json:"memory"`
	// Pids is the number of its processes and threads.
	Pids int64 `json:"pids"`
}

// Recoverer is an optional power of a driver (Info.Recover): its tasks outlive the process
// that the driver lives in, and another driver of the same kind takes them over:
//
//	rec, ok := driver.Find[driver.Recoverer](d)
//	found, err := rec.Recover(ctx, "node-7", known) // before the first Start
//	...
//	st, err := d.Start(ctx, task)
//	h, err := rec.Handle(ctx, task.ID) // to be kept in a store of the platform's
//
// State lives in the world and handles in the platform's store: nothing in the driver has to
// survive. Close stops every task as always; tasks are left to a successor only by a
// process that ends without it.
type Recoverer interface {
	// Recover names the owner and takes over the owner's tasks. Every task that this driver
	// starts from then on carries the owner's mark, in the world: a label, a file, a
	// group's name. Of what carries that mark already and has no living driver,
	//   - a task that one of the known handles names is adopted: it is listed, with the id,
	//     labels, endpoint and times that it had, and is stopped, watched and ended as if
	//     this driver had started it. One that ended meanwhile is adopted as StateEnded
	//     where the driver can tell how it ended;
	//   - everything else is a stray, and is removed by force.
	// What carries another owner's mark, or none, is not touched. A handle that cannot be
	// adopted is in Recovery.Lost, and nothing of its task is left.
	//
	// It is called at most once, before the first Start; a driver on which it is not called
	// marks its tasks as nobody's. An owner is one driver on one node: two that live at
	// the same time must not share a name. Errors: ErrInvalidArgument (the owner is not valid by
	// faas.ValidateName, or two handles have one id), ErrConflict (a second call, or one after a
	// Start), ErrClosed; any other error means that nothing was adopted, and that it may be called again.
	Recover(ctx context.Context, owner string, known []Handle) (Recovery, error)

	// Handle returns the handle of a listed task. It does not change while the task is
	// listed. Errors: ErrNotFound, ErrClosed.
	Handle(ctx context.Context, id string) (Handle, error)
}

// Handle is what a driver needs to find one of its tasks again. Whoever keeps it does
// not look inside; the driver trusts none of it, as a store may be damaged.
type Handle struct {
	// ID is the task's.
	ID string `json:"id"`
	// Driver is the Info.Name of the driver that made it.
	Driver string `json:"driver"`
	// Format is the driver's own number of the format of State. A driver reads the formats of its
	// older versions; one that it does not know is lost, as ErrUnimplemented.
	Format int `json:"format"`
	// State is at most MaxHandleState bytes, and holds no secret that the task's Env has not.
	State []byte `json:"state"`
}

// MaxHandleState bounds Handle.State, in bytes.
const MaxHandleState = 256 << 10

// Validate checks what holds for the handles of every driver. name is the driver's own.
// Errors: ErrCorrupt (the id, or too much state), ErrInvalidArgument (another driver's).
func (h *Handle) Validate(name string) error {
	if err := faas.ValidateName("id", h.ID); err != nil {
		return faas.Errorf(component, "recover", clip.Text(h.ID), faas.ErrCorrupt, "the handle's id: %v", err)
	}
	switch {
	case len(h.State) > MaxHandleState:
		return faas.Errorf(component, "recover", h.ID, faas.ErrCorrupt, "the handle's state is %d bytes long, more than %d", len(h.State), MaxHandleState)
	case h.Driver != name:
		return faas.Errorf(component, "recover", h.ID, faas.ErrInvalidArgument, "the handle is of the driver %q, not %q", clip.Text(h.Driver), name)
	}
	return nil
}

// Recovery is what came of Recover.
type Recovery struct {
	// Adopted are the ids of the tasks that are listed now.
	Adopted []string
	// Lost are those of the known handles that are not.
	Lost []Loss
	// Strays names what was removed, for people: ids where they can be told.
	Strays []string
}

// Loss is a task that could not be adopted.
type Loss struct {
	ID string
	// Err says why: ErrNotFound (it is gone), ErrCorrupt or ErrUnimplemented (the handle),
	// ErrInvalidArgument (another driver's), ErrConflict (another living driver has it).
	Err error
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
