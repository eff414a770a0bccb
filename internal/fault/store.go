package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/pebblestore"
)

// storeReserve is the reserve of the stores here: as small as it may be, since many are opened.
const storeReserve = pebblestore.MinReserve

func openStore(dir string) (*pebblestore.Store, error) {
	return pebblestore.Open(pebblestore.Config{Dir: dir, Reserve: storeReserve, Cache: 4 << 20})
}

func storeRef(i int) workflow.ExecutionRef {
	return workflow.ExecutionRef{Namespace: "default", ID: fmt.Sprint("x", i), Run: 1}
}

// storeBatch is one event of an execution; the first one creates it.
func storeBatch(x workflow.ExecutionRef, after uint64, payload []byte) *workflow.Batch {
	e := workflow.Event{Seq: after + 1, Time: time.Unix(0, 0), Kind: workflow.StepSucceeded, Payload: workflow.Bytes("text/plain", payload)}
	b := &workflow.Batch{Execution: x, After: after}
	if after == 0 {
		e.Kind = workflow.ExecutionStarted
		b.Record = &workflow.Execution{Ref: x, Status: workflow.StatusRunning, Started: time.Unix(0, 0)}
	}
	b.Events = []workflow.Event{e}
	return b
}

// noise is a payload that does not compress, different for each event.
func noise(x workflow.ExecutionRef, seq uint64, size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, x, seq))).Read(data)
	return data
}

// storeLength counts the events of a log and checks that each is what was written.
func storeLength(s workflow.Store, x workflow.ExecutionRef, size int) (uint64, error) {
	events, err := s.Read(context.Background(), x, 1, workflow.MaxPage)
	if faas.Class(err) == faas.ErrNotFound {
		return 0, nil
	}
	for i, e := range events {
		data, _ := e.Payload.InHand()
		if e.Seq != uint64(i)+1 || !slices.Equal(data, noise(x, e.Seq, size)) {
			return 0, fmt.Errorf("event %d of %s is not what was written", i+1, x)
		}
	}
	return uint64(len(events)), err
}

// copyStore copies a store as a kill of its process would leave it.
func copyStore(to, from string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(from, path)
		switch target := filepath.Join(to, rel); {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		case d.Name() == "reserve":
			return nil // it is made anew
		default:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(target, data, 0o600)
		}
	})
}

// lastStoreFile is the newest file of that kind.
func lastStoreFile(dir, pattern string) (string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "db", pattern))
	if err != nil || len(names) == 0 {
		return "", fmt.Errorf("no %s in %s: %v", pattern, dir, err)
	}
	slices.Sort(names)
	return names[len(names)-1], nil
}

// logTorn cuts the log of a killed store off at every byte of its last four records.
func logTorn() ([]Figure, error) {
	dir, err := os.MkdirTemp("", "log-torn")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	const records, torn, size = 24, 4, 40
	live, killed, cut := filepath.Join(dir, "live"), filepath.Join(dir, "killed"), filepath.Join(dir, "cut")
	s, err := openStore(live)
	if err != nil {
		return nil, err
	}
	x := storeRef(0)
	var ends []int64
	for i := range uint64(records) {
		if err := s.Append(context.Background(), storeBatch(x, i, noise(x, i+1, size))); err != nil {
			return nil, err
		}
		log, err := lastStoreFile(live, "*.log")
		if err != nil {
			return nil, err
		}
		st, err := os.Stat(log)
		if err != nil {
			return nil, err
		}
		ends = append(ends, st.Size())
	}
	if err := copyStore(killed, live); err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	cuts, reopened, lost, partial, stuck := 0.0, 0.0, 0.0, 0.0, 0.0
	for at := ends[records-torn-1]; at <= ends[records-1]; at++ {
		if err := copyStore(cut, killed); err != nil {
			return nil, err
		}
		log, err := lastStoreFile(cut, "*.log")
		if err != nil {
			return nil, err
		}
		if err := os.Truncate(log, at); err != nil {
			return nil, err
		}
		cuts++
		s, err := openStore(cut)
		if err != nil {
			fmt.Fprintf(os.Stderr, "cut at %d: %v\n", at, err)
			continue
		}
		reopened++
		whole := uint64(0)
		for _, end := range ends {
			whole += uint64(count(end <= at))
		}
		n, err := storeLength(s, x, size)
		partial += count(err != nil || n > whole+1)
		lost += count(n < whole)
		stuck += count(s.Append(context.Background(), storeBatch(x, n, noise(x, n+1, size))) != nil)
		if err := s.Close(); err != nil {
			return nil, err
		}
	}
	return []Figure{
		{Name: "log-torn-offsets", Value: cuts, Unit: "cuts"},
		{Name: "log-torn-reopened", Value: 100 * reopened / cuts, Unit: "%", Op: "==", Bound: 100},
		{Name: "log-torn-whole-lost", Value: lost, Unit: "cuts", Op: "==", Bound: 0},
		{Name: "log-torn-partial", Value: partial, Unit: "cuts", Op: "==", Bound: 0},
		{Name: "log-torn-stuck", Value: stuck, Unit: "cuts", Op: "==", Bound: 0},
	}, nil
}

// secondOpener opens a store that another process has open.
func secondOpener() ([]Figure, error) {
	dir, err := os.MkdirTemp("", "second-opener")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	const rounds = 20
	refused, named, worst := 0.0, 0.0, 0.0
	for range rounds {
		out, err := exec.Command(exe, "open-store", dir).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
		var took float64
		class, rest, _ := strings.Cut(string(out), "\n")
		ms, text, _ := strings.Cut(rest, "\n")
		if _, err := fmt.Sscan(ms, &took); err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
		refused += count(class == faas.ErrConflict.Error())
		named += count(strings.Contains(text, fmt.Sprintf("process %d", os.Getpid())))
		worst = max(worst, took)
	}
	return []Figure{
		{Name: "second-opener-refused", Value: 100 * refused / rounds, Unit: "%", Op: "==", Bound: 100},
		{Name: "second-opener-names-holder", Value: 100 * named / rounds, Unit: "%", Op: "==", Bound: 100},
		{Name: "second-opener-slowest", Value: worst, Unit: "ms", Op: "<=", Bound: 100},
	}, nil
}

// storeRole is the second opener's process: it prints the class of the error, the milliseconds and the text.
func storeRole(args []string) bool {
	if len(args) != 2 || args[0] != "open-store" {
		return false
	}
	began := time.Now()
	s, err := openStore(args[1])
	took := time.Since(began)
	if err == nil {
		_ = s.Close()
	}
	fmt.Printf("%v\n%f\n%v\n", faas.Class(err), float64(took)/1e6, err)
	return true
}
