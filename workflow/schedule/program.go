package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// program is a compiled schedule.
type program struct {
	workflow        faas.Ref
	times           *Times
	from, until     time.Time
	jitter, catchup time.Duration
	overlap         overlap
	durability      workflow.Durability
	input           map[string]any
	attributes      map[string]string
}

// state is where a schedule stands. It is its own snapshot, as JSON.
type state struct {
	Seed uint64 `json:"seed"`
	// Done is the last time that was dealt with; times up to it are over.
	Done time.Time `json:"done"`
	// Next is the time that Timer waits for, zero if there is none.
	Next  time.Time `json:"next,omitzero"`
	Timer string    `json:"timer,omitempty"`
	// Signal is the open wait for a backfill.
	Signal string `json:"signal,omitempty"`
	Paused bool   `json:"paused,omitempty"`
	// Runs are the open runs, Waiting the times that wait for them to end.
	Runs    []run       `json:"runs,omitempty"`
	Waiting []time.Time `json:"waiting,omitempty"`
	// Filling is the open run of a backfill, Backfill the times that follow it.
	Filling  *run        `json:"filling,omitempty"`
	Backfill []time.Time `json:"backfill,omitempty"`
	// Steps counts the steps that were opened: they are numbered by it.
	Steps    uint64   `json:"steps"`
	Counters Counters `json:"counters"`
}

// run is an open run and its time.
type run struct {
	Step string    `json:"step"`
	At   time.Time `json:"at"`
}

// Counters say what became of the times of a schedule. They are what the query "state" answers.
type Counters struct {
	Started, Succeeded, Failed int
	// Skipped are times that a run or a pause was in the way of; Missed those that were too late to be made up for.
	Skipped, Missed int
	// Refused are backfills that could not be read.
	Refused int
}

// Bounds of what a schedule holds.
const (
	maxWaiting  = 1_000  // by buffer-all
	maxAtOnce   = 1_000  // times that are made up for at one moment; older ones are missed
	maxBackfill = 10_000 // times of backfills that wait
)

// turn is one event's work on a state.
type turn struct {
	*program
	s        *state
	now      time.Time
	commands []workflow.Command
}

// Step implements workflow.Program.
func (p *program) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	st, _ := s.(*state)
	t := turn{program: p, s: st, now: e.Time}
	if st == nil {
		if e.Kind != workflow.ExecutionStarted && e.Kind != workflow.ExecutionContinued {
			return nil, nil, conflict(e, "the schedule's start")
		}
		t.s = &state{Done: e.Time}
		if e.Start != nil {
			t.s.Seed = e.Start.Seed
		}
		t.listen()
		t.arm()
		t.note()
		return t.end()
	}
	switch e.Kind {
	case workflow.StepSucceeded, workflow.StepFailed:
		if err := t.outcome(e); err != nil {
			return s, nil, err
		}
		t.note()
	case workflow.ExecutionSuspended:
		st.Paused = true
		return st, nil, nil
	case workflow.ExecutionResumed:
		st.Paused = false
		t.pass()
		t.arm()
	case workflow.CancelRequested:
		t.give(workflow.Command{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: workflow.FailureCanceled, Cause: "the schedule was cancelled"}})
		return st, t.commands, nil
	default:
		return st, nil, nil
	}
	return t.end()
}

// end returns what Step returns: with the schedule's end if nothing follows any more.
func (t *turn) end() (workflow.State, []workflow.Command, error) {
	s := t.s
	if s.Next.IsZero() && len(s.Runs) == 0 && s.Filling == nil {
		output, err := workflow.MarshalPayload(s.Counters)
		if err != nil {
			return s, nil, err
		}
		t.give(workflow.Command{Kind: workflow.CommandSucceed, Payload: output})
	}
	return s, t.commands, nil
}

func conflict(e *workflow.Event, expected string) error {
	return faas.Errorf("schedule", "step", e.Step, faas.ErrConflict, "expected %s and not %s", expected, e.Kind)
}

func (t *turn) give(c workflow.Command) { t.commands = append(t.commands, c) }

// step returns a new step ID.
func (t *turn) step(kind string) string {
	t.s.Steps++
	return kind + "-" + strconv.FormatUint(t.s.Steps, 10)
}

// outcome deals with the end of a step.
func (t *turn) outcome(e *workflow.Event) error {
	s := t.s
	failed := e.Kind == workflow.StepFailed
	switch {
	case e.Step == s.Timer:
		s.Timer = ""
		if s.Paused {
			t.pass()
		} else {
			t.due()
		}
		t.arm()
	case e.Step == s.Signal:
		return t.backfill(e)
	case s.Filling != nil && e.Step == s.Filling.Step:
		s.Filling = nil
		t.count(failed)
		t.fill()
	default:
		i := slices.IndexFunc(s.Runs, func(r run) bool { return r.Step == e.Step })
		if i < 0 {
			return conflict(e, "the outcome of a step that is open")
		}
		s.Runs = slices.Delete(s.Runs, i, i+1)
		t.count(failed)
		for len(s.Waiting) > 0 && len(s.Runs) == 0 {
			at := s.Waiting[0]
			s.Waiting = s.Waiting[1:]
			t.start(at)
		}
	}
	return nil
}

func (t *turn) count(failed bool) {
	if failed {
		t.s.Counters.Failed++
	} else {
		t.s.Counters.Succeeded++
	}
}

// listen opens the wait for the next backfill.
func (t *turn) listen() {
	t.s.Signal = t.step("signal")
	t.give(workflow.Command{Kind: workflow.CommandWait, Step: t.s.Signal, Node: "backfill", Name: "backfill"})
}

// next is the schedule's next time after another, within its bounds; zero if there is none.
func (t *turn) next(after time.Time) time.Time {
	if after.Before(t.from) {
		after = t.from.Add(-1)
	}
	at := t.times.Next(after)
	if !t.until.IsZero() && at.After(t.until) {
		return time.Time{}
	}
	return at
}

// late is how late a run is made by chance: never as late as the next time.
func (t *turn) late(at time.Time) time.Duration {
	most := t.jitter
	if next := t.times.Next(at); !next.IsZero() {
		most = min(most, next.Sub(at)-1)
	}
	if most <= 0 {
		return 0
	}
	h := fnv.New64a()
	fmt.Fprint(h, t.s.Seed, at.UnixNano())
	x := h.Sum64() // its low bits say little of numbers that are close
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return time.Duration(x % uint64(most))
}

// arm sets the timer for the next time, unless it is set already.
func (t *turn) arm() {
	next := t.next(t.s.Done)
	if t.s.Timer != "" {
		if next.Equal(t.s.Next) {
			return
		}
		t.give(workflow.Command{Kind: workflow.CommandClose, Step: t.s.Timer})
		t.s.Timer = ""
	}
	if t.s.Next = next; next.IsZero() {
		return
	}
	t.s.Timer = t.step("timer")
	t.give(workflow.Command{Kind: workflow.CommandTimer, Step: t.s.Timer, Node: "timer", Due: next.Add(t.late(next))})
}

// pass skips the times up to now.
func (t *turn) pass() {
	t.s.Counters.Skipped += t.over(t.now)
}

// over says that the times up to one are over and returns how many those are.
func (t *turn) over(to time.Time) (n int) {
	after, last := t.s.Done, to
	if after.Before(t.from) {
		after = t.from.Add(-1)
	}
	if !t.until.IsZero() && last.After(t.until) {
		last = t.until
	}
	if n = t.times.count(after, last); to.After(t.s.Done) {
		t.s.Done = to
	}
	return n
}

// due deals with the times that have come.
func (t *turn) due() {
	t.s.Counters.Missed += t.over(t.now.Add(-t.catchup - t.jitter - 1)) // as late as they may have been
	var due []time.Time
	for {
		at := t.next(t.s.Done)
		if at.IsZero() {
			break
		}
		start := at.Add(t.late(at))
		if start.After(t.now) {
			break
		}
		t.s.Done = at
		if t.now.Sub(start) > t.catchup {
			t.s.Counters.Missed++
		} else if due = append(due, at); len(due) > maxAtOnce {
			due = due[1:]
			t.s.Counters.Missed++
		}
	}
	for _, at := range due {
		t.run(at)
	}
}

// run starts a run, or does what the overlap policy says.
func (t *turn) run(at time.Time) {
	s := t.s
	if len(s.Runs) == 0 || t.overlap == allow {
		t.start(at)
		return
	}
	switch t.overlap {
	case cancelOther, terminateOther:
		for _, r := range s.Runs {
			t.give(workflow.Command{Kind: workflow.CommandClose, Step: r.Step})
			s.Counters.Failed++
		}
		s.Runs = nil
		t.start(at)
	case bufferOne, bufferAll:
		if len(s.Waiting) == 0 || t.overlap == bufferAll && len(s.Waiting) < maxWaiting {
			s.Waiting = append(s.Waiting, at)
			return
		}
		s.Counters.Skipped++
	default:
		s.Counters.Skipped++
	}
}

func (t *turn) start(at time.Time) { t.s.Runs = append(t.s.Runs, t.child(at)) }

// child opens the run of a time.
func (t *turn) child(at time.Time) run {
	t.s.Counters.Started++
	from := t.times.before(at)
	if from.IsZero() {
		from = at
	}
	start, end := from.Format(time.RFC3339), at.Format(time.RFC3339)
	input := map[string]any{intervalKey: map[string]string{"start": start, "end": end}}
	for k, v := range t.input {
		input[k] = v
	}
	payload, err := workflow.MarshalPayload(input)
	if err != nil {
		panic(err) // Compile has marshalled the input
	}
	attributes := map[string]string{intervalStart: start, intervalEnd: end}
	for k, v := range t.attributes {
		attributes[k] = v
	}
	r := run{Step: t.step("run"), At: at}
	c := workflow.Command{Kind: workflow.CommandChild, Step: r.Step, Node: "run", Target: t.workflow, Payload: payload,
		Child: &workflow.ChildOptions{OnClose: workflow.ChildStays, Attributes: attributes}}
	if t.overlap == terminateOther {
		c.Child.Definition = guardOf(guarded{t.workflow, attributes}, t.durability)
	}
	t.give(c)
	return r
}

// backfill reads a signal that asks for a range of times.
func (t *turn) backfill(e *workflow.Event) error {
	var asked struct{ Start, End time.Time }
	data, err := e.Payload.Bytes(context.Background())
	if err != nil {
		return err // the store's; the step is tried again
	}
	t.listen()
	if json.Unmarshal(data, &asked) != nil || asked.Start.IsZero() || !asked.Start.Before(asked.End) {
		t.s.Counters.Refused++
		return nil
	}
	var times []time.Time
	t.times.between(asked.Start, asked.End, func(at time.Time) bool {
		times = append(times, at)
		return len(t.s.Backfill)+len(times) <= maxBackfill
	})
	if len(t.s.Backfill)+len(times) > maxBackfill {
		t.s.Counters.Refused++
		return nil
	}
	t.s.Backfill = append(t.s.Backfill, times...)
	t.fill()
	return nil
}

// fill starts the next run of a backfill.
func (t *turn) fill() {
	s := t.s
	if s.Filling != nil || len(s.Backfill) == 0 {
		return
	}
	r := t.child(s.Backfill[0])
	s.Backfill = s.Backfill[1:]
	s.Filling = &r
}

// note tells people where the schedule stands.
func (t *turn) note() {
	s := t.s
	text := "no time follows"
	if !s.Next.IsZero() {
		text = "next at " + s.Next.In(t.times.zone).Format(time.RFC3339)
	}
	if n := len(s.Runs); n > 0 {
		text += fmt.Sprintf("; %d running", n)
	}
	if n := len(s.Waiting); n > 0 {
		text += fmt.Sprintf("; %d waiting", n)
	}
	if s.Filling != nil {
		text += fmt.Sprintf("; backfill with %d to go", len(s.Backfill)+1)
	}
	t.give(workflow.Command{Kind: workflow.CommandAnnotate, Note: text})
}
