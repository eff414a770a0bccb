package engine

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/order"
)

// List implements workflow.Engine. With two stores the pages are merged.
func (e *Engine) List(ctx context.Context, q workflow.ExecutionQuery) (workflow.ExecutionPage, error) {
	if err := e.ready("list"); err != nil {
		return workflow.ExecutionPage{}, err
	}
	if len(e.stores) == 1 {
		return e.stores[0].List(ctx, q)
	}
	at, err := parsePlaces(q.Token, len(e.stores))
	if err != nil {
		return workflow.ExecutionPage{}, err
	}
	if q.Limit == 0 {
		q.Limit = workflow.DefaultPage
	}
	pages := make([]workflow.ExecutionPage, len(e.stores))
	for i, s := range e.stores {
		if at[i].Done {
			continue
		}
		q.Token = at[i].Token
		if pages[i], err = s.List(ctx, q); err != nil {
			return workflow.ExecutionPage{}, err
		}
	}
	merged, taken := merge(pages, q.Limit)
	more := false
	for i, s := range e.stores {
		switch n := taken[i]; {
		case at[i].Done:
		case n == len(pages[i].Executions):
			at[i].Token, at[i].Done = pages[i].Next, pages[i].Next == ""
		case n > 0:
			// The store alone can say where n executions of this page end.
			part := q
			part.Token, part.Limit = at[i].Token, n
			page, err := s.List(ctx, part)
			if err != nil {
				return workflow.ExecutionPage{}, err
			}
			pages[i].Executions = page.Executions
			at[i].Token, at[i].Done = page.Next, page.Next == ""
			merged = nil
		default:
			pages[i].Executions = nil
		}
		more = more || !at[i].Done
	}
	if merged == nil {
		for i := range pages {
			pages[i].Executions = pages[i].Executions[:min(taken[i], len(pages[i].Executions))]
		}
		merged, _ = merge(pages, q.Limit)
	}
	page := workflow.ExecutionPage{Executions: merged}
	if more {
		page.Next = at.token()
	}
	return page, nil
}

// merge returns the first of all pages, at most limit, and how many it took from each.
func merge(pages []workflow.ExecutionPage, limit int) (merged []workflow.Execution, taken []int) {
	taken = make([]int, len(pages))
	for len(merged) < limit {
		best := -1
		for i := range pages {
			if taken[i] == len(pages[i].Executions) {
				continue
			}
			if best < 0 || order.Compare(order.Of(&pages[i].Executions[taken[i]]), order.Of(&pages[best].Executions[taken[best]])) < 0 {
				best = i
			}
		}
		if best < 0 {
			break
		}
		merged = append(merged, pages[best].Executions[taken[best]])
		taken[best]++
	}
	return merged, taken
}

// places are how far a list has come in each store.
type places []place

type place struct {
	Token string `json:"t,omitempty"`
	Done  bool   `json:"d,omitempty"`
}

func (p places) token() string {
	data, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and flags always marshal
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func parsePlaces(token string, n int) (places, error) {
	p := make(places, n)
	if token == "" {
		return p, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(data, &p) != nil || len(p) != n {
		return nil, faas.Errorf(component, "list", "token", faas.ErrInvalidArgument, "%.40q is not the Next of a page", token)
	}
	return p, nil
}

// History implements workflow.Engine.
func (e *Engine) History(ctx context.Context, ref workflow.ExecutionRef, q workflow.HistoryQuery) (workflow.HistoryPage, error) {
	const op = "history"
	var none workflow.HistoryPage
	if err := e.ready(op); err != nil {
		return none, err
	}
	if q.Limit < 0 || q.Limit > workflow.MaxPage {
		return none, faas.Errorf(component, op, "limit", faas.ErrInvalidArgument, "%d is not between 1 and %d", q.Limit, workflow.MaxPage)
	}
	if q.Limit == 0 {
		q.Limit = workflow.DefaultPage
	}
	var at uint64
	if q.Token != "" {
		n, err := strconv.ParseUint(q.Token, 10, 63)
		if err != nil || n == 0 {
			return none, faas.Errorf(component, op, "token", faas.ErrInvalidArgument, "%.40q is not the Next of a page", q.Token)
		}
		at = n
	}
	store, record, err := e.find(ctx, op, ref.WithDefaults())
	if err != nil {
		return none, err
	}
	if q.Reverse {
		return reverse(ctx, store, record.Ref, at, q.Limit)
	}
	events, err := store.Read(ctx, record.Ref, max(at, 1), q.Limit)
	if err != nil {
		return none, err
	}
	page := workflow.HistoryPage{Events: events}
	if len(events) == q.Limit {
		last := events[len(events)-1]
		more, err := store.Read(ctx, record.Ref, last.Seq+1, 1)
		if err != nil {
			return none, err
		}
		if len(more) > 0 {
			page.Next = strconv.FormatUint(more[0].Seq, 10)
		}
	}
	return page, nil
}

// reverse reads a page that ends with the event at, newest first; 0 is the last one.
func reverse(ctx context.Context, store workflow.Store, ref workflow.ExecutionRef, at uint64, limit int) (page workflow.HistoryPage, err error) {
	if at == 0 {
		if at, err = lastSeq(ctx, store, ref); err != nil {
			return page, err
		}
	}
	for {
		from := uint64(1)
		if at > uint64(limit) {
			from = at - uint64(limit) + 1
		}
		events, err := store.Read(ctx, ref, from, limit)
		if err != nil {
			return page, err
		}
		events = slices.DeleteFunc(events, func(e workflow.Event) bool { return e.Seq > at })
		if len(events) == 0 && at > 1 {
			at = 1 // what lies between was dropped
			continue
		}
		slices.Reverse(events)
		page.Events = events
		if n := len(events); n > 0 && events[n-1].Seq > 1 {
			page.Next = strconv.FormatUint(events[n-1].Seq-1, 10)
		}
		return page, nil
	}
}

// lastSeq finds the Seq of the last event of a log by bisection.
func lastSeq(ctx context.Context, store workflow.Store, ref workflow.ExecutionRef) (uint64, error) {
	has := func(seq uint64) (bool, error) {
		events, err := store.Read(ctx, ref, seq, 1)
		return len(events) > 0, err
	}
	low, high := uint64(1), uint64(2) // low is in the log or before its end
	for {
		ok, err := has(high)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		low, high = high, 2*high
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		ok, err := has(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}
