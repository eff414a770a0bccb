package durable

import (
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/joinery/faas/workflow"
)

// Context is what workflow code sees of its execution, and the scope within which what it opens can be
// cancelled together. It is a small value; it must not be used outside of the execution it was given for.
type Context struct {
	x     *execution
	scope *scope
}

// Now is the time of the event that woke the code: it does not pass while code runs.
func (c Context) Now() time.Time {
	c.x.enter()
	return c.x.now
}

// Execution names the execution.
func (c Context) Execution() workflow.ExecutionRef {
	c.x.enter()
	return c.x.start.Execution
}

// Attributes are the search attributes that the execution was started with; not to be changed.
func (c Context) Attributes() map[string]string {
	c.x.enter()
	return c.x.start.Attributes
}

// Events is the number of events in the log so far. Code that runs for ever returns ContinueAsNew when
// it gets large (some ten thousand), since recovery folds the whole log.
func (c Context) Events() uint64 {
	c.x.enter()
	return c.x.seq - c.x.first + 1
}

// Random is a source of random numbers that is the execution's own: the same in every replay, and in a
// fork the same as in the original.
func (c Context) Random() *rand.Rand {
	x := c.x
	x.enter()
	if x.random == nil {
		x.random = rand.New(rand.NewPCG(x.start.Seed, x.first))
	}
	return x.random
}

// UUID returns a random UUID (version 4, RFC 9562) from Random.
func (c Context) UUID() string {
	id, err := uuid.NewRandomFromReader(randomReader{c.Random()})
	if err != nil {
		panic(err) // the reader never fails
	}
	return id.String()
}

type randomReader struct{ r *rand.Rand }

func (r randomReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.r.Uint32())
	}
	return len(b), nil
}

// Sleep waits for d. The error is that of a cancelled Context.
func (c Context) Sleep(d time.Duration) error {
	_, err := c.Timer(d).Get()
	return err
}

// Timer returns a future that is ready after d; at once if d is not positive.
func (c Context) Timer(d time.Duration) Future[struct{}] {
	c.x.enter()
	if d <= 0 && c.scope.err == nil {
		return Future[struct{}]{&future{x: c.x, settled: true}}
	}
	f := &future{x: c.x, kind: workflow.CommandTimer, node: "timer"}
	c.open(f, timerBase, workflow.Command{Due: c.x.now.Add(d)})
	return Future[struct{}]{f}
}

// Annotate sets the note and the search attributes that lists show. An empty note leaves the last
// one; an attribute with an empty value is removed.
func (c Context) Annotate(note string, attributes map[string]string) {
	c.x.enter()
	c.x.annotate(note, attributes)
}

// Signal sends a signal to another execution, at least once. ErrInvalidArgument if JSON cannot say the value.
func (c Context) Signal(to workflow.ExecutionRef, name string, value any) error {
	c.x.enter()
	p, err := encode(value)
	if err != nil {
		return err
	}
	c.x.command(workflow.Command{Kind: workflow.CommandSignal, Execution: to, Name: name, Payload: p})
	return nil
}
