package pebblestore

import (
	"bytes"
	"context"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/order"
)

// List returns a page of records. A query for an ID, for open executions or for those whose time is
// over (KeptUntil) reads no others, and one for a time of start none from outside; other conditions are checked
// record by record.
func (s *Store) List(ctx context.Context, q workflow.ExecutionQuery) (workflow.ExecutionPage, error) {
	limit, from, err := order.Parse(&q)
	if err != nil {
		return workflow.ExecutionPage{}, err
	}
	if ctx.Err() != nil {
		return workflow.ExecutionPage{}, faas.ContextError(ctx, "workflow store", "list", "")
	}
	if err := s.enter("list", ""); err != nil {
		return workflow.ExecutionPage{}, err
	}
	defer s.leave()
	snapshot := s.db.NewSnapshot() // an execution that closes meanwhile is seen once
	defer snapshot.Close()
	l := &lister{s: s, db: snapshot, q: &q, limit: limit, from: from}
	switch {
	case q.ID != "" && q.Namespace != "":
		err = l.chosen(l.runs)
	case !q.KeptUntil.IsZero():
		err = l.chosen(l.over)
	default:
		err = l.scan(ctx)
	}
	if err != nil {
		return workflow.ExecutionPage{}, s.readError("list", "", err)
	}
	page := workflow.ExecutionPage{Executions: l.found}
	if len(l.found) > limit {
		page.Executions = l.found[:limit:limit]
		page.Next = order.Of(&l.found[limit-1]).Token()
	}
	return page, nil
}

// lister gathers the records of a page and one more, which says that there is another page.
type lister struct {
	s     *Store
	db    pebble.Reader
	q     *workflow.ExecutionQuery
	limit int
	from  *order.Position
	found []workflow.Execution
}

// take adds a record if it matches; it reports false when there are enough.
func (l *lister) take(key, value []byte) (more bool, err error) {
	x, err := decodeRecord(value, l.s.source)
	if err != nil {
		return false, l.s.valueError("list", "", key, err)
	}
	if l.q.Matches(&x) {
		l.found = append(l.found, x)
	}
	return len(l.found) <= l.limit, nil
}

// chosen lists the executions at some places.
func (l *lister) chosen(places func() ([]order.Position, error)) error {
	all, err := places()
	if err != nil {
		return err
	}
	slices.SortFunc(all, order.Compare)
	for _, p := range all {
		if l.from != nil && order.Compare(p, *l.from) <= 0 {
			continue
		}
		for _, open := range []bool{true, false} {
			key := recordKey(nil, open, p)
			v, closer, err := l.db.Get(key)
			if err == pebble.ErrNotFound {
				continue
			}
			if err != nil {
				return err
			}
			value := bytes.Clone(v)
			if err := closer.Close(); err != nil {
				return err
			}
			if more, err := l.take(key, value); !more || err != nil {
				return err
			}
		}
	}
	return nil
}

// runs are the places of the runs of one execution ID.
func (l *lister) runs() (all []order.Position, err error) {
	prefix := appendName([]byte{kindExists}, workflow.ExecutionRef{Namespace: l.q.Namespace, ID: l.q.ID})
	err = l.each(prefix, after(prefix), func(k, v []byte) error {
		ref, ok := parseRef(k[1:])
		started, err := decodeStarted(v)
		if !ok || err != nil {
			return l.s.valueError("list", "", k, err)
		}
		all = append(all, order.Position{Started: started, Ref: ref})
		return nil
	})
	return all, err
}

// over are the places of the closed executions whose time is over.
func (l *lister) over() (all []order.Position, err error) {
	begin := []byte{kindKeep}
	end := keepKey(nil, l.q.KeptUntil, order.Position{})[:9]
	err = l.each(begin, after(end), func(k, _ []byte) error {
		if p, ok := parsePosition(k[9:]); ok {
			all = append(all, p)
		}
		return nil
	})
	return all, err
}

func (l *lister) each(begin, end []byte, f func(k, v []byte) error) error {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: begin, UpperBound: end})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err == nil {
			err = f(it.Key(), v)
		}
		if err != nil {
			_ = it.Close()
			return err
		}
	}
	return it.Close()
}

// scan walks the open and the closed executions side by side.
func (l *lister) scan(ctx context.Context) error {
	open, closed := len(l.q.Statuses) == 0, len(l.q.Statuses) == 0
	for _, st := range l.q.Statuses {
		open, closed = open || st.Open(), closed || !st.Open()
	}
	var its []*pebble.Iterator
	defer func() {
		for _, it := range its {
			_ = it.Close()
		}
	}()
	for kind, wanted := range map[byte]bool{kindOpen: open, kindClosed: closed} {
		if !wanted {
			continue
		}
		begin, end := l.bounds(kind)
		it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: begin, UpperBound: end})
		if err != nil {
			return err
		}
		it.First()
		its = append(its, it)
	}
	for n := 0; ; n++ {
		if n%1024 == 1023 && ctx.Err() != nil {
			return faas.ContextError(ctx, "workflow store", "list", "")
		}
		var next *pebble.Iterator
		for _, it := range its {
			if err := it.Error(); err != nil {
				return err
			}
			if it.Valid() && (next == nil || bytes.Compare(it.Key()[1:], next.Key()[1:]) < 0) {
				next = it
			}
		}
		if next == nil {
			return nil
		}
		p, ok := parsePosition(next.Key()[1:])
		if ok && (l.q.Namespace == "" || p.Ref.Namespace == l.q.Namespace) && (l.q.ID == "" || p.Ref.ID == l.q.ID) {
			v, err := next.ValueAndErr()
			if err != nil {
				return err
			}
			if more, err := l.take(next.Key(), bytes.Clone(v)); !more || err != nil {
				return err
			}
		}
		next.Next()
	}
}

// bounds are the keys of the records of a kind that started in the time asked for and come after the last page.
func (l *lister) bounds(kind byte) (begin, end []byte) {
	begin, end = []byte{kind}, []byte{kind + 1}
	start := func(nanos int64) []byte { return appendPosition([]byte{kind}, order.Position{Started: nanos})[:9] }
	if t := l.q.StartedBefore; !t.IsZero() {
		begin = start(nanos(t)) // it may have some that started at that very time: Matches tells
	}
	if t := l.q.StartedFrom; !t.IsZero() {
		end = append(start(nanos(t)), 0xff) // names are no 0xff
	}
	if l.from != nil {
		if k := append(appendPosition([]byte{kind}, *l.from), 0); bytes.Compare(k, begin) > 0 {
			begin = k
		}
	}
	if bytes.Compare(begin, end) > 0 {
		end = begin
	}
	return begin, end
}
