package engine

import (
	"context"
	"slices"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// readLog reads the whole log of an execution.
func readLog(ctx context.Context, store workflow.Store, ref workflow.ExecutionRef) ([]workflow.Event, error) {
	var log []workflow.Event
	for from := uint64(1); ; {
		page, err := store.Read(ctx, ref, from, workflow.MaxPage)
		if err != nil {
			return nil, err
		}
		log = append(log, page...)
		if len(page) < workflow.MaxPage {
			break
		}
		from = page[len(page)-1].Seq + 1
	}
	if len(log) == 0 || log[0].Start == nil {
		return nil, faas.Errorf(component, "read", ref.String(), faas.ErrCorrupt, "the log does not begin with a start")
	}
	return log, nil
}

// undone adds what the redrives among the events undid to the ledger.
func (l *ledger) undo(events []workflow.Event) {
	for i := range events {
		for _, seq := range events[i].Undone {
			if l.undone == nil {
				l.undone = make(map[uint64]struct{})
			}
			l.undone[seq] = struct{}{}
		}
	}
}

// foldLog folds a whole log.
func (l *ledger) foldLog(log []workflow.Event, source workflow.PayloadSource) error {
	l.undo(log)
	rest, err := l.beginning(log, source)
	if err != nil {
		return err
	}
	return l.foldAll(rest)
}

// beginning returns the events to fold: all of them, or where the log's own beginning was dropped those from the
// first log on that is complete, with the ledger as it was before it.
func (l *ledger) beginning(log []workflow.Event, source workflow.PayloadSource) (rest []workflow.Event, err error) {
	if len(log) == 1 || log[1].Seq == 2 {
		return log, nil
	}
	i := slices.IndexFunc(log, func(e workflow.Event) bool { return e.Kind == workflow.ExecutionContinued })
	if i < 0 {
		return nil, faas.Errorf(component, "fold", l.ref.String(), faas.ErrCorrupt, "events after 1 are missing")
	}
	first := &log[i]
	if !isRoll(first) {
		l.start, l.began, l.deadline, l.attributes = first.Start, log[0].Time, log[0].Start.Deadline, first.Start.Attributes
		return log[i:], nil
	}
	data, err := first.Payload.Bytes(context.Background())
	if err != nil {
		return nil, err
	}
	return log[i:], l.decode(data, first.Seq-1, source)
}

func (l *ledger) foldAll(events []workflow.Event) error {
	for i := range events {
		if err := l.apply(&events[i]); err != nil {
			return err
		}
		l.fx.reset() // what was done then is done
	}
	return nil
}
