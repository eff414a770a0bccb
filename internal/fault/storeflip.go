package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

const (
	flipExecutions = 40
	flipSize       = 2000
	flipRegion     = 64 << 10
)

// flipped is what became of a store after one bit was changed.
type flipped struct {
	refused, detected, harmless, silent, unnamed, unserved float64
}

// logFlip changes single bits over 64 KiB of a log and of a table.
func logFlip() ([]Figure, error) {
	dir, err := os.MkdirTemp("", "log-flip")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	live, killed, work := filepath.Join(dir, "live"), filepath.Join(dir, "killed"), filepath.Join(dir, "work")
	s, err := openStore(live)
	if err != nil {
		return nil, err
	}
	var last int64 // where the last batch begins
	for i := range flipExecutions {
		log, err := lastStoreFile(live, "*.log")
		if err != nil {
			return nil, err
		}
		if st, err := os.Stat(log); err == nil {
			last = st.Size()
		}
		if err := s.Append(context.Background(), storeBatch(storeRef(i), 0, noise(storeRef(i), 1, flipSize))); err != nil {
			return nil, err
		}
	}
	if err := copyStore(killed, live); err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	var figures []Figure
	for _, c := range []struct {
		kind, from, pattern string
		end, stride         int64 // stride: not every byte, but another bit each time
	}{{"log", killed, "*.log", last, 61}, {"table", live, "*.sst", 0, 509}} {
		name, err := lastStoreFile(c.from, c.pattern)
		if err != nil {
			return nil, err
		}
		st, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		end := st.Size()
		if c.end > 0 {
			end = c.end
		}
		begin := end - flipRegion
		if begin < 0 {
			return nil, fmt.Errorf("%s has %d bytes, want %d", name, end, flipRegion)
		}
		var f flipped
		flips := 0.0
		for at := begin; at < end; at += c.stride {
			if err := copyStore(work, c.from); err != nil {
				return nil, err
			}
			victim := filepath.Join(work, "db", filepath.Base(name))
			data, err := os.ReadFile(victim)
			if err != nil {
				return nil, err
			}
			data[at] ^= 1 << (at % 8)
			if err := os.WriteFile(victim, data, 0o600); err != nil {
				return nil, err
			}
			flips++
			f.look(work, filepath.Base(victim))
		}
		name = "log-flip-" + c.kind
		figures = append(figures,
			Figure{Name: name + "-flips", Value: flips, Unit: "bits"},
			Figure{Name: name + "-noticed", Value: 100 * (f.refused + f.detected + f.harmless) / flips, Unit: "%", Op: "==", Bound: 100},
			Figure{Name: name + "-silent", Value: f.silent, Unit: "bits", Op: "==", Bound: 0},
			Figure{Name: name + "-unnamed", Value: f.unnamed, Unit: "bits", Op: "==", Bound: 0},
			Figure{Name: name + "-takes-all", Value: f.unserved, Unit: "bits"}, // those in the index of the only table
			Figure{Name: name + "-open-refused", Value: f.refused, Unit: "bits"},
			Figure{Name: name + "-in-nothing-kept", Value: f.harmless, Unit: "bits"},
		)
	}
	return figures, nil
}

// look opens a store and reads everything that was written.
func (f *flipped) look(dir, file string) {
	named := func(err error) bool {
		return strings.Contains(err.Error(), strings.TrimLeft(strings.TrimSuffix(file, filepath.Ext(file)), "0"))
	}
	s, err := openStore(dir)
	if err != nil {
		f.refused += count(faas.Class(err) == faas.ErrCorrupt)
		f.silent += count(faas.Class(err) != faas.ErrCorrupt)
		f.unnamed += count(!named(err))
		return
	}
	defer s.Close()
	served, corrupt, wrong, unnamed := 0, 0, 0, 0
	for i := range flipExecutions {
		n, err := storeLength(s, storeRef(i), flipSize)
		switch {
		case err == nil && n == 1:
			served++
		case faas.Class(err) == faas.ErrCorrupt:
			corrupt++
			if !named(err) {
				unnamed++
			}
		default:
			wrong++
		}
	}
	for _, err := range s.Recover(context.Background()) {
		if err != nil && faas.Class(err) == faas.ErrCorrupt {
			corrupt++
		} else if err != nil {
			wrong++
		}
	}
	if _, err := s.List(context.Background(), workflow.ExecutionQuery{}); faas.Class(err) == faas.ErrCorrupt {
		corrupt++
	} else if err != nil {
		wrong++
	}
	f.silent += count(wrong > 0)
	f.unnamed += count(unnamed > 0)
	f.detected += count(wrong == 0 && corrupt > 0)
	f.harmless += count(wrong == 0 && corrupt == 0)
	f.unserved += count(served == 0)
}
