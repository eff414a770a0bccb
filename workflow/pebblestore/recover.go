package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/order"
)

// found is an open execution on its way through Recover: its place and record, as scanned, and then what is yielded.
type found struct {
	position order.Position
	key      []byte
	record   []byte
	r        *workflow.Recovered
	err      error
}

// pageOfRecovery is how many executions are read in one go.
const pageOfRecovery = 256

// Recover yields every open execution. They are read ahead by as many goroutines as there are processors, which
// end with the loop; what changed since it was read is read again.
func (s *Store) Recover(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
	return func(yield func(*workflow.Recovered, error) bool) {
		s.recovering.Add(1)
		ctx, cancel := context.WithCancel(ctx)
		pages, results := make(chan []found), make(chan []found)
		var scanErr error
		var scan, work sync.WaitGroup
		scan.Go(func() {
			defer close(pages)
			scanErr = s.scanOpen(ctx, pages)
		})
		for range runtime.GOMAXPROCS(0) {
			work.Go(func() {
				for page := range pages {
					s.recoverPage(ctx, page)
					select {
					case results <- page:
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
			if s.recovering.Add(-1) == 0 {
				s.forgetClosed()
			}
		}()
	pages:
		for page := range results {
			for i := range page {
				if ctx.Err() != nil {
					break pages
				}
				f := &page[i]
				if f.r != nil && f.err == nil && s.moved(f) {
					f.r, f.err = s.recoverAgain(f.position.Ref)
				}
				if f.r == nil && f.err == nil {
					continue // it has closed
				}
				if !yield(f.r, f.err) || f.r == nil {
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

// scanOpen sends the open executions, page by page. It holds no iterator while it waits.
func (s *Store) scanOpen(ctx context.Context, pages chan<- []found) error {
	for begin := []byte{kindOpen}; begin != nil; {
		page, next, err := s.scanPage(begin)
		if err != nil {
			return err
		}
		begin = next
		select {
		case pages <- page:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

func (s *Store) scanPage(begin []byte) (page []found, next []byte, err error) {
	if err := s.enter("recover", ""); err != nil {
		return nil, nil, err
	}
	defer s.leave()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: begin, UpperBound: []byte{kindOpen + 1}})
	if err != nil {
		return nil, nil, s.readError("recover", "", err)
	}
	for it.First(); it.Valid(); it.Next() {
		key := bytes.Clone(it.Key())
		if len(page) == pageOfRecovery {
			next = key
			break
		}
		p, ok := parsePosition(key[1:])
		v, err := it.ValueAndErr()
		if err == nil && !ok {
			err = s.valueError("recover", "", key, errNoKey)
		}
		if err != nil {
			_ = it.Close()
			return nil, nil, s.readError("recover", "", err)
		}
		page = append(page, found{position: p, key: key, record: bytes.Clone(v)})
	}
	if err := it.Close(); err != nil {
		return nil, nil, s.readError("recover", "", err)
	}
	return page, next, nil
}

// recoverPage reads the logs of a page in the order in which they lie on disk.
func (s *Store) recoverPage(ctx context.Context, page []found) {
	if len(page) == 0 {
		return
	}
	if page[0].err = s.enter("recover", ""); page[0].err != nil {
		return
	}
	defer s.leave()
	slices.SortFunc(page, func(a, b found) int {
		a.position.Started = b.position.Started
		return order.Compare(a.position, b.position)
	})
	var l *logReader
	for i := range page {
		f := &page[i]
		if ctx.Err() != nil {
			f.err = faas.ContextError(ctx, "workflow store", "recover", f.position.Ref.String())
			break
		}
		if l == nil {
			if l, f.err = s.openLog(f.position.Ref); f.err != nil {
				break
			}
		}
		l.ref = f.position.Ref
		f.r, f.err = s.recoverFound(l, f)
		if f.err != nil { // the iterator keeps its error
			f.err = s.readError("recover", l.ref.String(), f.err)
			l.close()
			l = nil
		}
	}
	if l != nil {
		l.close()
	}
}

// recoverFound reads an execution as it was when the page was begun.
func (s *Store) recoverFound(l *logReader, f *found) (*workflow.Recovered, error) {
	t := s.acquire(l.ref)
	defer s.release(l.ref, t)
	r := &workflow.Recovered{Record: workflow.Execution{Ref: l.ref}}
	record, err := decodeRecord(f.record, s.source)
	if err != nil {
		return r, s.valueError("recover", l.ref.String(), f.key, err)
	}
	r.Record = record
	if err := l.recover(r); err != nil {
		return r, err
	}
	f.key, f.record = nil, nil
	if !t.loaded { // so nobody has touched it since the loop began
		t.exists, t.open, t.started, t.last, t.snapshotAt, t.loaded = true, true, f.position.Started, r.Last, r.SnapshotAt, true
	}
	return r, nil
}

// recover fills in what the log says.
func (l *logReader) recover(r *workflow.Recovered) (err error) {
	if r.SnapshotAt, r.Snapshot, err = l.snapshot(); err != nil {
		return err
	}
	if r.SnapshotAt > 0 {
		first, err := l.events(nil, 1, 1)
		if err != nil {
			return err
		}
		if len(first) > 0 {
			r.First = first[0]
		}
	}
	if r.Events, err = l.events(nil, r.SnapshotAt+1, 0); err != nil {
		return err
	}
	if r.Last = r.SnapshotAt; len(r.Events) > 0 {
		r.Last = r.Events[len(r.Events)-1].Seq
	}
	if r.SnapshotAt == 0 && len(r.Events) > 0 {
		r.First = r.Events[0]
	}
	if r.First.Seq != 1 {
		return l.s.valueError("recover", l.ref.String(), eventsKey(nil, l.ref, 1), errors.New("the first event is missing"))
	}
	return nil
}

// recoverAgain reads an execution as it is now; nothing if it is not open.
func (s *Store) recoverAgain(ref workflow.ExecutionRef) (*workflow.Recovered, error) {
	r := &workflow.Recovered{Record: workflow.Execution{Ref: ref}}
	open := true
	err := s.reading(context.Background(), "recover", ref, func(ref workflow.ExecutionRef, t *tail) (err error) {
		if open = t.open; !open {
			return nil
		}
		if r.Record, err = s.record(ref, t); err != nil {
			return err
		}
		l, err := s.openLog(ref)
		if err != nil {
			return err
		}
		defer l.close()
		return l.recover(r)
	})
	if !open || errors.Is(err, faas.ErrNotFound) {
		return nil, nil
	}
	return r, err
}

// moved reports whether an execution has changed since it was read.
func (s *Store) moved(f *found) bool {
	t := s.acquire(f.position.Ref)
	defer s.release(f.position.Ref, t)
	return !t.loaded || t.last != f.r.Last || !t.open
}
