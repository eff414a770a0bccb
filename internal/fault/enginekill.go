package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// crashes kills a real engine again and again, and then looks at what it kept.
type crashes struct {
	dir, self string
	sink      *sink
	rounds    int
}

func newCrashes() (*crashes, error) {
	dir, err := os.MkdirTemp("", "engine-")
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s, err := newSink(filepath.Join(dir, "sink"))
	if err != nil {
		return nil, err
	}
	return &crashes{dir: dir, self: self, sink: s}, nil
}

func (c *crashes) close() error { return errors.Join(c.sink.close(), os.RemoveAll(c.dir)) }

func (c *crashes) store() string { return filepath.Join(c.dir, "store") }

// child is a running engine.
type child struct {
	*exec.Cmd
	stderr bytes.Buffer
	ended  chan struct{}
}

// start starts the next round's engine.
func (c *crashes) start(spec engineSpec) (*child, error) {
	c.rounds++
	spec.Dir, spec.Socket, spec.Round = c.store(), c.sink.socket, c.rounds
	arg, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	select {
	case <-c.sink.ready: // of a round before
	default:
	}
	ch := &child{Cmd: exec.Command(c.self, roleEngine, string(arg)), ended: make(chan struct{})}
	ch.Stderr = &ch.stderr
	if err := ch.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(ch.ended)
		_ = ch.Wait()
	}()
	return ch, nil
}

// wait waits until the child ends, or d has passed, and reports whether it ended. An end other than a kill is an error.
func (ch *child) wait(d time.Duration) (ended bool, err error) {
	select {
	case <-ch.ended:
	case <-time.After(d):
		return false, nil
	}
	if text := ch.stderr.String(); text != "" || ch.ProcessState.Exited() && !ch.ProcessState.Success() {
		return true, fmt.Errorf("the engine ended by itself: %v: %s", ch.ProcessState, text)
	}
	return true, nil
}

func (ch *child) kill() error {
	_ = ch.Process.Kill()
	_, err := ch.wait(30 * time.Second)
	return err
}

// awaitReady waits until the round's engine has recovered.
func (c *crashes) awaitReady(ch *child) error {
	for {
		select {
		case round := <-c.sink.ready:
			if round == c.rounds {
				return nil
			}
		case <-ch.ended:
			_, err := ch.wait(0)
			return errors.Join(errors.New("the engine ended before it was ready"), err)
		case <-time.After(30 * time.Second):
			return errors.Join(errors.New("the engine does not recover in 30 s"), ch.kill())
		}
	}
}

// fill runs an engine until it has all its executions in flight.
func (c *crashes) fill() (*child, error) {
	ch, err := c.start(engineSpec{})
	if err != nil {
		return nil, err
	}
	if err := c.awaitReady(ch); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(20 * time.Second); c.sink.open() < inFlight; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("%d executions are in flight after 20 s", c.sink.open()), ch.kill())
		}
	}
	return ch, nil
}

// drain lets an engine bring everything to its end.
func (c *crashes) drain() error {
	ch, err := c.start(engineSpec{Last: true})
	if err != nil {
		return err
	}
	ended, err := ch.wait(60 * time.Second)
	if err == nil && !ended {
		err = errors.Join(fmt.Errorf("%d executions do not come to their end in 60 s", c.sink.open()), ch.kill())
	}
	return err
}

// roundsAsked is the number of rounds: as the argument after the name says, else the usual one within a budget of time.
func roundsAsked(usual int, budget time.Duration) (rounds int, deadline time.Time, err error) {
	if len(os.Args) < 3 {
		return usual, time.Now().Add(budget), nil
	}
	rounds, err = strconv.Atoi(os.Args[2])
	if err != nil || rounds < 1 {
		return 0, time.Time{}, fmt.Errorf("%q is not a number of rounds", os.Args[2])
	}
	return rounds, time.Now().Add(24 * time.Hour), nil
}

// engineKill kills the engine at random times.
func engineKill() (figures []Figure, err error) {
	rounds, deadline, err := roundsAsked(100, 40*time.Second)
	if err != nil {
		return nil, err
	}
	c, err := newCrashes()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	ch, err := c.fill()
	if err != nil {
		return nil, err
	}
	kills := 0
	for ; kills < rounds && time.Now().Before(deadline); kills++ {
		if kills > 0 {
			if ch, err = c.start(engineSpec{}); err != nil {
				return nil, err
			}
			if rand.IntN(5) > 0 { // else at any moment of the start
				if err := c.awaitReady(ch); err != nil {
					return nil, err
				}
			}
		}
		time.Sleep(rand.N(120 * time.Millisecond))
		if err := ch.kill(); err != nil {
			return nil, err
		}
	}
	if err := c.drain(); err != nil {
		return nil, err
	}
	return c.figures("engine-kill", []Figure{
		{Name: "engine-kill-rounds", Value: float64(kills), Unit: "kills", Op: ">=", Bound: float64(rounds)},
	})
}

// failpoints returns the names of all failpoints, from the source.
func failpoints() (names []string, err error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return nil, errors.New("the source is not known")
	}
	hit := regexp.MustCompile(`failpoint\.Hit\("([^"]+)"\)`)
	for _, pkg := range []string{"engine", "pebblestore"} {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(here), "..", "..", "workflow", pkg, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				return nil, err
			}
			for _, m := range hit.FindAllSubmatch(text, -1) {
				names = append(names, string(m[1]))
			}
		}
	}
	if len(names) == 0 {
		return nil, errors.New("there are no failpoints in the source")
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// killAt runs an engine that kills itself at a failpoint, and reports whether it got there in time.
func (c *crashes) killAt(name string, hit int) (killed bool, err error) {
	ch, err := c.start(engineSpec{Failpoint: name, Hit: hit})
	if err != nil {
		return false, err
	}
	if killed, err = ch.wait(2 * time.Second); err != nil || killed {
		return killed, err
	}
	return false, ch.kill()
}

// engineFailpoints has the engine kill itself at every failpoint, the first time it gets there and later.
func engineFailpoints() (figures []Figure, err error) {
	names, err := failpoints()
	if err != nil {
		return nil, err
	}
	rounds, deadline, err := roundsAsked(3, 30*time.Second)
	if err != nil {
		return nil, err
	}
	c, err := newCrashes()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	ch, err := c.fill()
	if err != nil {
		return nil, err
	}
	if err := ch.kill(); err != nil {
		return nil, err
	}
	reached := map[string]int{}
	kills := 0
	for round := 0; round < rounds && (round == 0 || time.Now().Before(deadline)); round++ {
		for _, name := range names {
			if round > 0 && time.Now().After(deadline) {
				break
			}
			hit := 1
			if round > 0 {
				hit += rand.IntN(10)
			}
			killed, err := c.killAt(name, hit)
			if err == nil && !killed { // what went on meanwhile may lead there now
				killed, err = c.killAt(name, 1)
			}
			if err != nil {
				return nil, err
			}
			if killed {
				reached[name]++
				kills++
			}
		}
	}
	if err := c.drain(); err != nil {
		return nil, err
	}
	for _, name := range names {
		fmt.Printf("# %-28s killed there %d times\n", name, reached[name])
	}
	return c.figures("engine-failpoints", []Figure{
		{Name: "engine-failpoints-reached", Value: 100 * float64(len(reached)) / float64(len(names)), Unit: "%", Op: "==", Bound: 100},
		{Name: "engine-failpoints-kills", Value: float64(kills), Unit: "kills", Op: ">=", Bound: float64(len(names))},
	})
}

// figures adds what the sink and the store say.
func (c *crashes) figures(name string, figures []Figure) ([]Figure, error) {
	a, err := c.audit(context.Background())
	if err != nil {
		return figures, err
	}
	s := c.sink
	s.mu.Lock()
	defer s.mu.Unlock()
	again, most := 0, 0
	for _, n := range s.again {
		again += n
		most = max(most, n)
	}
	none := func(what string, n int, unit string) {
		figures = append(figures, Figure{Name: name + "-" + what, Value: float64(n), Unit: unit, Op: "=="})
	}
	figures = append(figures, Figure{Name: name + "-in-flight", Value: float64(s.inFlight) / float64(max(s.recovered, 1)), Unit: "executions"},
		Figure{Name: name + "-executions", Value: float64(a.executions), Unit: "executions"},
		Figure{Name: name + "-deliveries", Value: float64(s.total), Unit: "calls"})
	none("lost-executions", a.lostExecutions, "executions")
	none("not-succeeded", a.notSucceeded, "executions")
	none("lost-steps", a.lostSteps, "steps")
	none("recorded-twice", a.recordedTwice, "steps")
	none("wrong-outputs", a.wrongOutputs, "executions")
	none("terminal-not-one", a.terminals, "executions")
	none("keys-wrong", s.badKeys, "calls")
	none("attempts-not-growing", s.stuckAttempts, "calls")
	none("delivered-after-recorded", s.late, "calls")
	none("delivered-twice-without-kill", s.needless, "calls")
	figures = append(figures, Figure{Name: name + "-delivered-again", Value: float64(again), Unit: "calls"},
		Figure{Name: name + "-delivered-again-after-one-kill", Value: float64(most), Unit: "calls", Op: "<=", Bound: callsAtOnce + workersCount})
	for _, what := range []string{s.first, a.first} {
		if what != "" {
			fmt.Println("# first fault:", what)
		}
	}
	return figures, nil
}
