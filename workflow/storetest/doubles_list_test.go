package storetest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// asks changes the queries of List.
func asks(change func(*workflow.ExecutionQuery)) func(*double) {
	return func(d *double) {
		d.list = func(ctx context.Context, q workflow.ExecutionQuery) (workflow.ExecutionPage, error) {
			change(&q)
			return d.Store.List(ctx, q)
		}
	}
}

// offsets counts what it has listed instead of knowing the place.
func offsets(d *double) {
	d.list = func(ctx context.Context, q workflow.ExecutionQuery) (workflow.ExecutionPage, error) {
		skip, _ := strconv.Atoi(q.Token)
		limit := q.Limit
		q.Token, q.Limit = "", workflow.MaxPage
		page, err := d.Store.List(ctx, q)
		if err != nil {
			return page, err
		}
		all := page.Executions
		end := min(skip+limit, len(all))
		page = workflow.ExecutionPage{Executions: all[min(skip, end):end]}
		if end < len(all) {
			page.Next = strconv.Itoa(end)
		}
		return page, nil
	}
}

var brokenLists = map[string][]func(*double){
	"list/order": {func(d *double) { // by reference
		d.list = func(ctx context.Context, q workflow.ExecutionQuery) (workflow.ExecutionPage, error) {
			page, err := d.Store.List(ctx, q)
			slices.SortFunc(page.Executions, func(a, b workflow.Execution) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
			return page, err
		}
	}, func(d *double) { // the same start in any order
		d.list = func(ctx context.Context, q workflow.ExecutionQuery) (workflow.ExecutionPage, error) {
			page, err := d.Store.List(ctx, q)
			slices.SortStableFunc(page.Executions, func(a, b workflow.Execution) int {
				if c := b.Started.Compare(a.Started); c != 0 {
					return c
				}
				return strings.Compare(b.Ref.String(), a.Ref.String())
			})
			return page, err
		}
	}, asks(func(q *workflow.ExecutionQuery) { q.Token = "" })},
	"list/filters": {
		asks(func(q *workflow.ExecutionQuery) { q.Namespace = "" }),
		asks(func(q *workflow.ExecutionQuery) { q.Workflow = "" }),
		asks(func(q *workflow.ExecutionQuery) { q.ID = "" }),
		asks(func(q *workflow.ExecutionQuery) { q.Statuses = q.Statuses[:min(len(q.Statuses), 1)] }),
		asks(func(q *workflow.ExecutionQuery) { delete(q.Attributes, "l") }),
		asks(func(q *workflow.ExecutionQuery) { q.StartedFrom = time.Time{} }),
		asks(func(q *workflow.ExecutionQuery) {
			if !q.StartedBefore.IsZero() { // inclusive
				q.StartedBefore = q.StartedBefore.Add(1)
			}
		}),
		asks(func(q *workflow.ExecutionQuery) {
			if !q.KeptUntil.IsZero() { // exclusive
				q.KeptUntil = q.KeptUntil.Add(-1)
			}
		}),
	},
	"list/follows-changes": {func(d *double) { // an index that is written once
		first := make(map[workflow.ExecutionRef]workflow.Execution)
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			if b.After == 0 {
				first[b.Execution] = *b.Record
			}
			return d.Store.Append(ctx, b)
		}
		d.list = func(_ context.Context, q workflow.ExecutionQuery) (page workflow.ExecutionPage, _ error) {
			for _, x := range first {
				if q.Matches(&x) {
					page.Executions = append(page.Executions, x)
				}
			}
			return page, nil
		}
	}},
	"list/pages-while-they-come-and-go": {offsets},
	"list/invalid": {asks(func(q *workflow.ExecutionQuery) { q.Token = "" }), asks(func(q *workflow.ExecutionQuery) { q.Limit = min(q.Limit, workflow.MaxPage) }),
		asks(func(q *workflow.ExecutionQuery) { q.Limit = max(q.Limit, 0) })},
}

// brokenDisks are stores that were opened again, or failed, or were damaged.
var brokenDisks = map[string][]func(*double){
	"durability/logs-records-and-payloads": {func(d *double) {
		d.payload = func(context.Context, workflow.ExecutionRef, faas.Digest) ([]byte, error) {
			return nil, faas.Errorf("workflow store", "payload", "", faas.ErrNotFound, "lost")
		}
	}, changesEvents(func(e *workflow.Event) { e.Began = time.Time{} }), changesRecords(func(x *workflow.Execution) { x.Status = workflow.StatusRunning }),
		func(d *double) {
			d.recover = func(context.Context) iter.Seq2[*workflow.Recovered, error] {
				return func(func(*workflow.Recovered, error) bool) {}
			}
		}},
	"durability/the-log-goes-on": {hides(faas.ErrConflict), func(d *double) { // starts numbering afresh
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			if b.After > 0 {
				return faas.Errorf("workflow store", "append", "", faas.ErrConflict, "the log ends at 0")
			}
			return d.Store.Append(ctx, b)
		}
	}},
	"durability/snapshots-and-trims": {changesRecovered(func(r *workflow.Recovered) { r.Snapshot, r.SnapshotAt = nil, 0 }), changesRecovered(func(r *workflow.Recovered) {
		if r.Last = 1; len(r.Events) > 0 { // the end of a log is its last event
			r.Last = r.Events[len(r.Events)-1].Seq
		}
	})},
	"durability/deletions": {func(d *double) {
		d.get = func(ctx context.Context, x workflow.ExecutionRef) (workflow.Execution, error) {
			r, err := d.Store.Get(ctx, x)
			if errors.Is(err, faas.ErrNotFound) {
				return *record(x, 0, workflow.StatusSucceeded), nil
			}
			return r, err
		}
	}},
	"fault/a-failed-write-poisons": {func(d *double) { // the failure is swallowed
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			err := d.Store.Append(ctx, b)
			if errors.Is(err, faas.ErrUnavailable) {
				err = nil
			}
			return err
		}
	}, func(d *double) { // it tries again, as if nothing had been
		o := d.Store.(*opened)
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			err := o.Append(ctx, b)
			o.poisoned = false
			return err
		}
	}, func(d *double) { // deletes go on
		d.delete = func(ctx context.Context, x workflow.ExecutionRef) error {
			return d.Store.(*opened).Store.Delete(ctx, x)
		}
	}},
	"fault/damage-is-named": {func(d *double) { // what is damaged is skipped
		d.read = func(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
			es, err := d.Store.Read(ctx, x, from, limit)
			if errors.Is(err, faas.ErrCorrupt) {
				err = nil
			}
			return es, err
		}
	}, func(d *double) { // recovery ends there
		d.recover = func(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
			return func(yield func(*workflow.Recovered, error) bool) {
				for r, err := range d.Store.Recover(ctx) {
					if err == nil && !yield(r, err) {
						return
					}
				}
			}
		}
	}, changesRecovered(func(r *workflow.Recovered) { // nobody knows which
		if r.Events == nil {
			r.Record = workflow.Execution{}
		}
	})},
	"fault/others-are-served": {func(d *double) {
		d.read = func(_ context.Context, x workflow.ExecutionRef, _ uint64, _ int) ([]workflow.Event, error) {
			return nil, corrupt(x)
		}
	}, func(d *double) {
		d.append = func(context.Context, *workflow.Batch) error { return unavailable() }
	}},
}
