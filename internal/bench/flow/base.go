package flow

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
)

// Mem is base-mem: a goroutine and a channel hop for each step, and nothing durable.
type Mem struct{}

// Run implements Engine.
func (Mem) Run(_ context.Context, t Tree) (int, error) {
	return hops(t, func(int) error { return nil })
}

// JournalEngine is base-journal: Mem, and one record for the start, the end and each
// step between, every one of them durable before what follows it: the floor of a durable
// engine.
type JournalEngine struct {
	journal *Journal
	runs    atomic.Uint64
}

// OpenJournalEngine keeps its journal in the directory.
func OpenJournalEngine(dir string) (*JournalEngine, error) {
	journal, err := OpenJournal(dir)
	if err != nil {
		return nil, err
	}
	return &JournalEngine{journal: journal}, nil
}

// Close ends it; nothing may be running.
func (e *JournalEngine) Close() error { return e.journal.Close() }

// Run implements Engine.
func (e *JournalEngine) Run(_ context.Context, t Tree) (int, error) {
	run := e.runs.Add(1)
	record := func(step int) error {
		var r Record
		binary.LittleEndian.PutUint64(r[:], run)
		binary.LittleEndian.PutUint64(r[8:], uint64(step))
		return e.journal.Append(&r)
	}
	if err := record(0); err != nil {
		return 0, err
	}
	result, err := hops(t, record)
	return result, errors.Join(err, record(t.Steps+1))
}

// hops runs the steps of the tree, each in a goroutine of its own that hands its result
// over a channel of its own after done.
func hops(t Tree, done func(step int) error) (int, error) {
	type outcome struct {
		value int
		err   error
	}
	step := func(i, value int) <-chan outcome {
		c := make(chan outcome, 1)
		go func() { c <- outcome{value, done(i)} }()
		return c
	}
	sum := 0
	if !t.Parallel {
		for i := range t.Steps {
			o := <-step(i+1, sum+1)
			if o.err != nil {
				return 0, o.err
			}
			sum = o.value
		}
		return sum, nil
	}
	branches := make([]<-chan outcome, t.Steps)
	for i := range branches {
		branches[i] = step(i+1, i+1)
	}
	var errs error
	for _, c := range branches {
		o := <-c
		sum, errs = sum+o.value, errors.Join(errs, o.err)
	}
	return sum, errs
}
