package engine

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

// Start implements workflow.Engine.
func (e *Engine) Start(ctx context.Context, req workflow.StartRequest) (workflow.ExecutionRef, error) {
	if err := e.accepts("start"); err != nil {
		return workflow.ExecutionRef{}, err
	}
	if ctx.Err() != nil {
		return workflow.ExecutionRef{}, faas.ContextError(ctx, component, "start", req.Workflow.String())
	}
	o := origin{input: req.Input, attributes: req.Attributes, timeout: req.Timeout}
	if err := e.resolve(ctx, &o, req.Workflow, req.Definition); err != nil {
		return workflow.ExecutionRef{}, err
	}
	ref := workflow.ExecutionRef{Namespace: o.compiled.definition.Ref.Namespace, ID: req.ID}.WithDefaults()
	if req.ID != "" {
		if err := ref.Validate(); err != nil {
			return workflow.ExecutionRef{}, err
		}
	}
	if rule := attributesRule(req.Attributes); rule != "" {
		return workflow.ExecutionRef{}, faas.Errorf(component, "start", ref.String(), faas.ErrInvalidArgument, "%s", rule)
	}
	if req.Timeout < 0 {
		return workflow.ExecutionRef{}, faas.Errorf(component, "start", ref.String(), faas.ErrInvalidArgument, "the timeout is negative")
	}
	switch req.Reuse {
	case workflow.ReuseNever, workflow.ReuseUnsuccessful, workflow.ReuseClosed, workflow.ReuseTerminate:
	default:
		return workflow.ExecutionRef{}, faas.Errorf(component, "start", ref.String(), faas.ErrInvalidArgument, "there is no reuse policy %.40q", req.Reuse)
	}
	if req.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return workflow.ExecutionRef{}, faas.Errorf(component, "start", ref.String(), faas.ErrInternal, "%w", err)
		}
		ref.ID, ref.Run = id.String(), 1
		_, err = e.launch(ctx, ref, &o)
		return ref, err
	}
	return e.startNamed(ctx, ref, &o, req.Reuse)
}

// startNamed starts an execution whose ID its caller chose.
func (e *Engine) startNamed(ctx context.Context, ref workflow.ExecutionRef, o *origin, reuse workflow.ReusePolicy) (workflow.ExecutionRef, error) {
	digest := o.digest()
	for {
		latest, err := e.Get(ctx, ref)
		ref.Run = 1
		if err == nil {
			ref.Run = latest.Ref.Run + 1
			again, err := e.reuse(ctx, &latest, digest, reuse)
			if err != nil || again {
				return latest.Ref, err
			}
		} else if !errors.Is(err, faas.ErrNotFound) {
			return workflow.ExecutionRef{}, err
		}
		other, err := e.launch(ctx, ref, o)
		if other == nil && !errors.Is(err, faas.ErrConflict) {
			return ref, err
		}
		if other != nil {
			other.await(ctx) // another start of the ID is under way
		}
		if ctx.Err() != nil {
			return workflow.ExecutionRef{}, faas.ContextError(ctx, component, "start", ref.String())
		}
		ref.Run = 0
	}
}

// reuse decides about a start whose ID exists: again is true when that execution is the one asked for.
func (e *Engine) reuse(ctx context.Context, latest *workflow.Execution, digest faas.Digest, reuse workflow.ReusePolicy) (again bool, err error) {
	if latest.Status.Open() && latest.Input == digest {
		return true, nil
	}
	exists := func(what string) error {
		err := faas.Errorf(component, "start", latest.Ref.String(), faas.ErrAlreadyExists, "%s", what)
		err.Next = "choose another ID or another reuse policy"
		return err
	}
	switch {
	case reuse == workflow.ReuseTerminate && latest.Status.Open():
		err := e.Control(ctx, latest.Ref, workflow.Control{Action: workflow.ActionTerminate, Reason: "its ID is used for a new run"})
		if errors.Is(err, faas.ErrConflict) {
			err = nil // it has closed meanwhile
		}
		return false, err
	case latest.Status.Open():
		return false, exists("an execution with this ID is open, and was started with another definition or input")
	case reuse == workflow.ReuseNever:
		return false, exists("an execution with this ID has closed")
	case reuse == workflow.ReuseUnsuccessful && latest.Status == workflow.StatusSucceeded:
		return false, exists("an execution with this ID has succeeded")
	}
	return false, nil
}

// origin is what an execution is started with.
type origin struct {
	compiled   *compiled
	input      workflow.Payload
	attributes map[string]string
	timeout    time.Duration
	parent     *workflow.Parent
}

// digest tells whether two starts ask for the same.
func (o *origin) digest() faas.Digest {
	h := sha256.New()
	h.Write([]byte(o.compiled.digest))
	h.Write([]byte(o.input.MediaType()))
	if data, ok := o.input.InHand(); ok {
		h.Write(data)
	} else if d, ok := o.input.Digest(); ok {
		h.Write([]byte(d))
	}
	var sum [sha256.Size]byte
	return faas.Digest("sha256:" + hex.EncodeToString(h.Sum(sum[:0])))
}

// compiled is a definition with its Program.
type compiled struct {
	definition workflow.Definition
	program    workflow.Program
	digest     faas.Digest
}

// programs keeps the compiled versions of registered workflows, which never change.
type programs struct {
	mu sync.RWMutex
	m  map[faas.Ref]*compiled
}

// maxKept bounds the compiled versions that are kept.
const maxKept = 10_000

// resolve finds and compiles what is to be run.
func (e *Engine) resolve(ctx context.Context, o *origin, ref faas.Ref, inline *workflow.Definition) error {
	if inline != nil {
		d := *inline
		d.Ref = d.Ref.WithDefaults()
		if d.Ref.Name == "" && ref.Name != "" {
			d.Ref = ref.WithDefaults()
		}
		if d.Ref.Name == "" {
			d.Ref.Name = "inline"
		}
		d.Ref.Version = ""
		p, err := e.languages.Compile(&d)
		if err != nil {
			return err
		}
		o.compiled = &compiled{d, p, d.Digest()}
		return nil
	}
	d, err := e.registry.Get(ctx, ref.WithDefaults())
	if err != nil {
		return err
	}
	e.programs.mu.RLock()
	o.compiled = e.programs.m[d.Ref]
	e.programs.mu.RUnlock()
	if o.compiled != nil && o.compiled.definition.Created.Equal(d.Created) {
		return nil
	}
	p, err := e.languages.Compile(&d)
	if err != nil {
		return err
	}
	o.compiled = &compiled{d, p, d.Digest()}
	e.programs.mu.Lock()
	defer e.programs.mu.Unlock()
	if len(e.programs.m) >= maxKept {
		clear(e.programs.m)
	}
	e.programs.m[d.Ref] = o.compiled
	return nil
}

// launch creates the execution. other is the run that has the ID already, if one is held.
func (e *Engine) launch(ctx context.Context, ref workflow.ExecutionRef, o *origin) (other *run, err error) {
	d := &o.compiled.definition
	store, err := e.storeOf(d.Durability, "start", ref.String())
	if err != nil {
		return nil, err
	}
	if o.input.Size() > e.limits.Payload {
		return nil, faas.Errorf(component, "start", ref.String(), faas.ErrInvalidArgument, "the input is %d bytes, more than Limits.Payload, %d", o.input.Size(), e.limits.Payload)
	}
	input, err := inHand(ctx, o.input)
	if err != nil {
		return nil, err
	}
	var random [24]byte
	crand.Read(random[:])
	start := &workflow.Start{Execution: ref, Definition: *d, Seed: binary.LittleEndian.Uint64(random[:]), Secret: random[8:],
		Parent: o.parent, Attributes: o.attributes}
	now := e.now()
	timeout := o.timeout
	if timeout == 0 {
		timeout = d.Timeout
	}
	if timeout > 0 {
		start.Deadline = now.Add(timeout)
	}
	x := e.newRun(ref, store, o.compiled.program)
	x.busy = true
	x.record = workflow.Execution{Ref: ref, Workflow: d.Ref, Language: d.Language, Durability: d.Durability, Status: workflow.StatusRunning,
		Started: now, Deadline: start.Deadline, Attributes: o.attributes, Parent: o.parent, Input: o.digest(), Logs: 1}
	if other := e.runs.add(x); other != nil {
		return other, nil
	}
	failpoint.Hit("engine/before-start")
	event := workflow.Event{Kind: workflow.ExecutionStarted, Payload: input, Start: start}
	mine, _ := x.takeTurn([]fact{{kind: factStart, event: &event}})
	if x.born != nil {
		x.stillborn()
		return nil, x.born
	}
	failpoint.Hit("engine/after-start")
	x.goOn(mine)
	return nil, nil
}

func (e *Engine) newRun(ref workflow.ExecutionRef, store workflow.Store, program workflow.Program) *run {
	x := &run{e: e, ref: ref, store: store, program: program, prefix: ref.String() + "/"}
	x.source = &source{store: store, ref: ref, inHand: e.limits.InHand}
	x.l = newLedger(ref, program)
	return x
}

// stillborn gives up a run whose first event could not be stored.
func (x *run) stillborn() {
	x.e.runs.remove(x)
	x.mu.Lock()
	x.gone = true
	x.mu.Unlock()
	x.l.release()
	x.drain() // refuse who came meanwhile
	x.mu.Lock()
	done := x.done
	x.mu.Unlock()
	if done != nil {
		close(done)
	}
}

// await waits until the run has taken its first turn, or ctx ends.
func (x *run) await(ctx context.Context) {
	ch := make(chan error, 1)
	x.post(fact{kind: factWake, reply: ch})
	select {
	case <-ch:
	case <-ctx.Done():
	}
}

// key is a step's idempotency key. A log that the Program began anew may use a step's ID again.
func (x *run) key(step string) string {
	if x.l.epoch == 0 {
		return x.prefix + step
	}
	return x.ref.String() + "." + itoa(x.l.epoch+1) + "/" + step
}
