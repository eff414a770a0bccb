package pebblestore

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// recovered is what Recover yields.
type recovered struct {
	ref workflow.ExecutionRef
	r   *workflow.Recovered
	err error
}

// pageOfRecovery is how many executions are read in one go.
const pageOfRecovery = 64

// Recover yields every open execution. They are read ahead by as many goroutines as there are processors, which
// end with the loop.
func (s *Store) Recover(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
	return func(yield func(*workflow.Recovered, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		refs := make(chan []workflow.ExecutionRef)
		results := make(chan []recovered)
		var scanErr error
		var scan, work sync.WaitGroup
		scan.Go(func() {
			defer close(refs)
			scanErr = s.scanOpen(ctx, refs)
		})
		for range runtime.GOMAXPROCS(0) {
			work.Go(func() {
				for page := range refs {
					select {
					case results <- s.recoverPage(ctx, page):
					case <-ctx.Done():
						return
					}
				}
			})
		}
		go func() {
			work.Wait()
			close(results)
		}()
		defer func() {
			cancel()
			for range results {
			}
			scan.Wait()
		}()
		for page := range results {
			for _, x := range page {
				if x.err == nil && s.moved(x) {
					x = s.recoverPage(ctx, []workflow.ExecutionRef{x.ref})[0]
				}
				if x.r == nil && x.err == nil {
					continue
				}
				if x.r == nil && x.err != nil {
					yield(nil, x.err)
					return
				}
				if !yield(x.r, x.err) {
					return
				}
			}
		}
		scan.Wait()
		if scanErr == nil && ctx.Err() != nil {
			scanErr = faas.ContextError(ctx, "workflow store", "recover", "")
		}
		if scanErr != nil {
			yield(nil, scanErr)
		}
	}
}

// scanOpen sends the names of the open executions. It holds no iterator while it waits.
func (s *Store) scanOpen(ctx context.Context, refs chan<- []workflow.ExecutionRef) error {
	begin := []byte{kindOpen}
	for {
		page, next, err := s.scanPage(begin)
		if err != nil {
			return err
		}
		if len(page) > 0 {
			select {
			case refs <- page:
			case <-ctx.Done():
				return nil
			}
		}
		if next == nil {
			return nil
		}
		begin = next
	}
}

func (s *Store) scanPage(begin []byte) (page []workflow.ExecutionRef, next []byte, err error) {
	if err := s.enter("recover", ""); err != nil {
		return nil, nil, err
	}
	defer s.leave()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: begin, UpperBound: []byte{kindOpen + 1}})
	if err != nil {
		return nil, nil, s.readError("recover", "", err)
	}
	for it.First(); it.Valid(); it.Next() {
		if len(page) == pageOfRecovery {
			next = append([]byte{}, it.Key()...)
			break
		}
		p, ok := parsePosition(it.Key()[1:])
		if !ok {
			_ = it.Close()
			return nil, nil, s.valueError("recover", "", it.Key(), errNoKey)
		}
		page = append(page, p.Ref)
	}
	if err := it.Close(); err != nil {
		return nil, nil, s.readError("recover", "", err)
	}
	return page, next, nil
}

// recoverPage reads some executions. A result without record and error is of one that is not open any more.
func (s *Store) recoverPage(ctx context.Context, refs []workflow.ExecutionRef) []recovered {
	results := make([]recovered, len(refs))
	if err := s.enter("recover", ""); err != nil {
		results[0].err = err
		return results
	}
	defer s.leave()
	for i, ref := range refs {
		if ctx.Err() != nil {
			results[i].err = faas.ContextError(ctx, "workflow store", "recover", ref.String())
			return results
		}
		r, err := s.recoverOne(ref)
		if err != nil {
			err = s.readError("recover", ref.String(), err)
			if r == nil {
				r = &workflow.Recovered{Record: workflow.Execution{Ref: ref}}
			}
		}
		results[i] = recovered{ref, r, err}
	}
	return results
}

// recoverOne reads an execution; its tail stays in memory, for what follows.
func (s *Store) recoverOne(ref workflow.ExecutionRef) (*workflow.Recovered, error) {
	t := s.acquire(ref)
	defer s.release(ref, t)
	if !t.loaded {
		if err := s.loadHead(ref, t); err != nil {
			return nil, err
		}
	}
	if !t.exists || !t.open {
		return nil, nil
	}
	record, err := s.record(ref, t)
	if err != nil {
		return nil, err
	}
	r := &workflow.Recovered{Record: record}
	l, err := s.openLog(ref)
	if err != nil {
		return r, err
	}
	defer l.close()
	if r.SnapshotAt, r.Snapshot, err = l.snapshot(); err != nil {
		return r, err
	}
	if r.Events, err = l.events(nil, r.SnapshotAt+1, 0); err != nil {
		return r, err
	}
	first := r.Events
	if r.SnapshotAt > 0 {
		if first, err = l.events(nil, 1, 1); err != nil {
			return r, err
		}
	}
	if len(first) == 0 || first[0].Seq != 1 {
		return r, s.valueError("recover", ref.String(), eventsKey(nil, ref, 1), errors.New("the first event is missing"))
	}
	r.First = first[0]
	if r.Last = r.SnapshotAt; len(r.Events) > 0 {
		r.Last = r.Events[len(r.Events)-1].Seq
	}
	t.last, t.snapshotAt, t.loaded = r.Last, r.SnapshotAt, true
	return r, nil
}

// moved reports whether an execution has changed since it was read.
func (s *Store) moved(x recovered) bool {
	if x.r == nil {
		return false
	}
	t := s.acquire(x.ref)
	defer s.release(x.ref, t)
	return !t.loaded || t.last != x.r.Last || !t.open
}
