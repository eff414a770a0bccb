package history

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Export writes a log as JSON lines, one event each, with payloads that are held by
// reference written in full, so that the export stands alone. Errors: those of the
// engine, the store and w.
func Export(ctx context.Context, w io.Writer, src Source, ref workflow.ExecutionRef) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	q := workflow.HistoryQuery{Limit: workflow.MaxPage}
	for {
		page, err := src.History(ctx, ref, q)
		if err != nil {
			return err
		}
		for i := range page.Events {
			e := page.Events[i]
			if e.Payload, err = inHand(ctx, e.Payload); err != nil {
				return err
			}
			if e.Failure != nil {
				f := *e.Failure
				if f.Details, err = inHand(ctx, f.Details); err != nil {
					return err
				}
				e.Failure = &f
			}
			if err := enc.Encode(&e); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return out.Flush()
		}
		q.Token = page.Next
	}
}

func inHand(ctx context.Context, p workflow.Payload) (workflow.Payload, error) {
	if _, ok := p.Digest(); !ok {
		return p, nil
	}
	data, err := p.Bytes(ctx)
	return workflow.Bytes(p.MediaType(), data), err
}

// Import reads what Export writes. ErrCorrupt names the line.
func Import(r io.Reader) ([]workflow.Event, error) {
	var events []workflow.Event
	dec := json.NewDecoder(r)
	for {
		var e workflow.Event
		err := dec.Decode(&e)
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err == nil && e.Seq == 0 {
			err = errors.New("it has no seq")
		}
		if err != nil {
			return nil, faas.Errorf("workflow history", "import", fmt.Sprintf("line %d", len(events)+1), faas.ErrCorrupt, "%w", err)
		}
		events = append(events, e)
	}
}

// maxCell bounds a cell of Table.
const maxCell = 60

// Table writes events for people: number, time since the first, what happened to which
// step, how long it took, and what came of it.
func Table(w io.Writer, events []workflow.Event) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "#\tat\tevent\tstep\tattempt\ttook\tcold\twhat")
	for i := range events {
		e := &events[i]
		attempt, took, cold := "", "", ""
		if e.Attempt > 0 {
			attempt = fmt.Sprint(e.Attempt)
		}
		if !e.Began.IsZero() {
			took = short(e.Time.Sub(e.Began))
		}
		if e.Cold > 0 {
			cold = short(e.Cold)
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Seq, short(e.Time.Sub(events[0].Time)), e.Kind, clip(e.Step), attempt, took, cold, what(e))
	}
	return tw.Flush()
}

func what(e *workflow.Event) string {
	switch {
	case e.Failure != nil:
		return clip(e.Failure.Error())
	case e.Kind == workflow.SignalReceived:
		return clip(e.Name + " " + value(e.Payload))
	case e.Start != nil:
		return clip(e.Start.Definition.Ref.String() + " " + value(e.Payload))
	case len(e.Undone) > 0:
		return fmt.Sprintf("%d events undone", len(e.Undone))
	}
	return clip(value(e.Payload))
}

func value(p workflow.Payload) string {
	if d, ok := p.Digest(); ok {
		return fmt.Sprintf("%s (%d bytes)", d, p.Size())
	}
	data, _ := p.InHand()
	return string(data)
}

// clip keeps a cell on one line, short, and free of what a terminal would act on.
func clip(s string) string {
	out := make([]rune, 0, maxCell)
	for _, r := range s {
		if len(out) == maxCell {
			return string(out) + "…"
		}
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}

func short(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
