package engine

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// chaos is a Program that asks for whatever the hash of its history says.
type chaos struct{}

type chaosState struct {
	Hash uint64
	N    int
	Open []string
}

func (chaos) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	c, ok := s.(*chaosState)
	if !ok {
		c = new(chaosState)
	}
	h := fnv.New64a()
	data, _ := e.Payload.InHand()
	fmt.Fprint(h, c.Hash, e.Kind, e.Step, e.Name, e.Seq, string(data))
	c.Hash = h.Sum64()
	for i, step := range c.Open {
		if step == e.Step && (e.Kind == workflow.StepSucceeded || e.Kind == workflow.StepFailed) {
			c.Open = append(c.Open[:i:i], c.Open[i+1:]...)
			break
		}
	}
	r := rand.New(rand.NewPCG(c.Hash, 1))
	var commands []workflow.Command
	for range r.IntN(4) {
		c.N++
		step := fmt.Sprintf("s%d", c.N)
		value := workflow.JSON(fmt.Sprint(c.N))
		switch k := r.IntN(9); k {
		case 0, 1:
			commands = append(commands, workflow.Command{Kind: workflow.CommandCall, Step: step, Target: faas.Ref{Name: "f"}, Payload: value,
				Options: &workflow.StepOptions{Retry: workflow.Retry{{Failures: []string{"*"}, Max: 3}}, Timeout: time.Minute}})
		case 2:
			commands = append(commands, workflow.Command{Kind: workflow.CommandTimer, Step: step, Due: e.Time.Add(time.Hour)})
		case 3:
			commands = append(commands, workflow.Command{Kind: workflow.CommandWait, Step: step, Name: fmt.Sprint("n", r.IntN(3))})
		case 4:
			commands = append(commands, workflow.Command{Kind: workflow.CommandRecord, Step: step, Payload: value})
		case 5:
			commands = append(commands, workflow.Command{Kind: workflow.CommandChild, Step: step, Target: faas.Ref{Name: "w"}, Child: &workflow.ChildOptions{ID: step}})
		case 6:
			if len(c.Open) == 0 {
				continue
			}
			step = c.Open[r.IntN(len(c.Open))]
			commands = append(commands, workflow.Command{Kind: workflow.CommandClose, Step: step})
			for i := range c.Open {
				if c.Open[i] == step {
					c.Open = append(c.Open[:i:i], c.Open[i+1:]...)
					break
				}
			}
			continue
		case 7:
			commands = append(commands, workflow.Command{Kind: workflow.CommandSignal, Name: "x", Execution: workflow.ExecutionRef{ID: "o"}, Payload: value})
			continue
		default:
			commands = append(commands, workflow.Command{Kind: workflow.CommandAnnotate, Attributes: map[string]string{"n": fmt.Sprint(c.N)}, Note: step})
			continue
		}
		c.Open = append(c.Open, step)
	}
	return c, commands, nil
}

func (chaos) Snapshot(s workflow.State) ([]byte, error) { return json.Marshal(s) }

func (chaos) Restore(data []byte, _ workflow.PayloadSource) (workflow.State, error) {
	c := new(chaosState)
	return c, json.Unmarshal(data, c)
}

// randomLog is a log as the engine could have written it, and the ledger that it led to.
func randomLog(t *testing.T, r *rand.Rand, n int) ([]workflow.Event, *ledger) {
	ref := workflow.ExecutionRef{Namespace: "default", ID: "x", Run: 1}
	l := newLedger(ref, chaos{})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var log []workflow.Event
	note := func(e workflow.Event) {
		now = now.Add(time.Duration(r.IntN(1e9)))
		e.Seq, e.Time = uint64(len(log)+1), now
		log = append(log, e)
		require.NoError(t, l.apply(&e))
		for {
			own, ok := l.own()
			if !ok {
				return
			}
			own.Seq, own.Time = uint64(len(log)+1), now
			log = append(log, own)
			require.NoError(t, l.apply(&own))
		}
	}
	note(workflow.Event{Kind: workflow.ExecutionStarted, Start: &workflow.Start{Execution: ref, Seed: r.Uint64(), Deadline: now.Add(time.Hour)}})
	for len(log) < n {
		var open []*step
		for s := l.first; s != nil; s = s.next {
			if s.cmd.Kind != workflow.CommandWait {
				open = append(open, s)
			}
		}
		if len(open) == 0 || r.IntN(3) == 0 {
			switch r.IntN(6) {
			case 0:
				note(workflow.Event{Kind: workflow.ExecutionSuspended})
			case 1:
				note(workflow.Event{Kind: workflow.ExecutionResumed})
			case 2:
				note(workflow.Event{Kind: workflow.ExecutionRecovered})
			default:
				e := workflow.Event{Kind: workflow.SignalReceived, Name: fmt.Sprint("n", r.IntN(3)), Payload: workflow.JSON(fmt.Sprint(r.IntN(100)))}
				if r.IntN(2) == 0 {
					e.Node, e.From = fmt.Sprint("sender", r.IntN(3)), uint64(len(log))
				}
				note(e)
			}
			continue
		}
		s := open[r.IntN(len(open))]
		switch rule, _, ok := again(s, "any"); {
		case ok && r.IntN(3) == 0:
			note(workflow.Event{Kind: workflow.StepRetrying, Step: s.cmd.Step, Attempt: s.attempt, Rule: rule, Due: now.Add(time.Second), Failure: &workflow.Failure{Name: "any"}})
		case r.IntN(5) == 0:
			note(workflow.Event{Kind: workflow.StepFailed, Step: s.cmd.Step, Attempt: s.attempt, Failure: &workflow.Failure{Name: "any"}})
		default:
			note(workflow.Event{Kind: workflow.StepSucceeded, Step: s.cmd.Step, Attempt: s.attempt, Payload: workflow.JSON(fmt.Sprint(r.IntN(100)))})
		}
	}
	return log, l
}

func encoded(t *testing.T, l *ledger) string {
	data, err := l.encode(true)
	require.NoError(t, err)
	return string(data)
}

// TestFoldIsAFunctionOfTheLog: folded twice, or from a snapshot after any event, a log leads to the same ledger.
func TestFoldIsAFunctionOfTheLog(t *testing.T) {
	for seed := range uint64(4) {
		log, l := randomLog(t, rand.New(rand.NewPCG(seed, 7)), 60)
		want := encoded(t, l)
		again := newLedger(l.ref, chaos{})
		require.NoError(t, again.foldAll(log))
		require.Equal(t, want, encoded(t, again))
		half := newLedger(l.ref, chaos{})
		for i := range log {
			require.NoError(t, half.apply(&log[i]))
			at := encoded(t, half)
			restored := newLedger(l.ref, chaos{})
			require.NoError(t, restored.decode([]byte(at), log[i].Seq, nil))
			require.Equal(t, at, encoded(t, restored), "seed %d, a snapshot after event %d", seed, log[i].Seq)
			require.NoError(t, restored.foldAll(log[i+1:]))
			require.Equal(t, want, encoded(t, restored), "seed %d, from a snapshot after event %d", seed, log[i].Seq)
		}
	}
}

// TestDamagedSnapshots: whatever a snapshot holds, it is refused or read, and nothing panics.
func TestDamagedSnapshots(t *testing.T) {
	_, l := randomLog(t, rand.New(rand.NewPCG(3, 7)), 30)
	data := []byte(encoded(t, l))
	for i := 0; i < len(data); i += 3 {
		short := newLedger(l.ref, chaos{})
		require.Error(t, short.decode(data[:i], 1, nil), "cut at %d", i)
		flipped := append([]byte(nil), data...)
		flipped[i] ^= 0x55
		_ = newLedger(l.ref, chaos{}).decode(flipped, 1, nil)
	}
}

// FuzzSnapshot reads anything as a snapshot.
func FuzzSnapshot(f *testing.F) {
	f.Add([]byte{snapshotFormat, 2, '{', '}'})
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLedger(workflow.ExecutionRef{Namespace: "default", ID: "x", Run: 1}, chaos{})
		if l.decode(data, 1, nil) == nil {
			_, _ = l.encode(true)
		}
	})
}
