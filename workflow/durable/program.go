package durable

import (
	"slices"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// program is the Program of one Code.
type program struct {
	code   Code
	budget time.Duration
	// stuck are the states, by workflow.ExecutionRef, whose code did not come back: an execution is not run again before, so
	// that no more than one goroutine hangs for it.
	stuck sync.Map
	// buffers of commands, as *[]workflow.Command.
	buffers sync.Pool
}

var (
	_ workflow.Language = (*Language)(nil)
	_ workflow.Releaser = (*program)(nil)
	_ workflow.Querier  = (*program)(nil)
	_ workflow.Predater = (*program)(nil)
	_ workflow.Redriver = (*program)(nil)
)

// Step implements workflow.Program.
func (p *program) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	x, _ := s.(*execution)
	starts := e.Kind == workflow.ExecutionStarted && x == nil || e.Kind == workflow.ExecutionContinued
	if starts && e.Start == nil || !starts && (x == nil || e.Kind == workflow.ExecutionStarted) {
		p.Release(s)
		return nil, nil, faas.Errorf(Name, "step", p.code.id(), faas.ErrConflict, "event %d is %s; a log begins with one execution-started", e.Seq, e.Kind)
	}
	var err error
	if starts {
		p.Release(s)
		if lost, ok := p.stuck.Load(e.Start.Execution); ok && !lost.(*execution).back.Load() {
			return nil, nil, lost.(*execution).overran()
		}
		p.stuck.Delete(e.Start.Execution)
		x = newExecution(p, e)
	}
	buffer := p.borrow()
	x.commands = *buffer
	if !starts {
		err = x.feed(e)
	}
	if err == nil {
		err = x.turn()
	}
	if err != nil {
		p.Release(x)
		return nil, nil, err
	}
	if x.ended {
		p.Release(x)
	}
	commands := append([]workflow.Command(nil), x.commands...)
	p.giveBack(buffer, x.commands)
	x.commands = nil
	return x, commands, nil
}

// borrow returns an empty buffer for the commands of one event, with the room that earlier ones needed.
func (p *program) borrow() *[]workflow.Command {
	if b, ok := p.buffers.Get().(*[]workflow.Command); ok {
		return b
	}
	return new([]workflow.Command)
}

// maxLent is the largest buffer that is kept.
const maxLent = 1024

func (p *program) giveBack(b *[]workflow.Command, used []workflow.Command) {
	if cap(used) > maxLent {
		return
	}
	clear(used)
	*b = used[:0]
	p.buffers.Put(b)
}

// Snapshot is ErrUnimplemented: the state is the stacks of coroutines. Recovery folds the log.
func (p *program) Snapshot(workflow.State) ([]byte, error) {
	return nil, faas.Errorf(Name, "snapshot", p.code.id(), faas.ErrUnimplemented, "the state of Go code cannot be encoded; its log is folded again")
}

// Restore is ErrCorrupt: there are no snapshots.
func (p *program) Restore([]byte, workflow.PayloadSource) (workflow.State, error) {
	return nil, faas.Errorf(Name, "restore", p.code.id(), faas.ErrCorrupt, "there are no snapshots of Go code")
}

// Release implements workflow.Releaser: it ends the coroutines of the state.
func (p *program) Release(s workflow.State) {
	if x, _ := s.(*execution); x != nil && !x.lost.Load() && !x.released {
		x.release()
	}
}

// Redrive implements workflow.Redriver: again are the steps whose errors are in the one that the workflow's function returned. An
// error that has none may still come of one, so then all are. ErrConflict after a Saga has compensated.
func (p *program) Redrive(s workflow.State) (again func(step string) bool, err error) {
	x, _ := s.(*execution)
	if x == nil {
		return func(string) bool { return false }, nil
	}
	if x.compensated {
		err := x.fault(faas.ErrConflict, "a saga of workflow %s has undone what it did", p.code.id())
		err.Op, err.Next = "redrive", "start it anew"
		return nil, err
	}
	all := x.failed && len(x.blame) == 0
	return func(step string) bool { return all || slices.Contains(x.blame, step) }, nil
}
