package schedule

import (
	"encoding/json"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Snapshot implements workflow.Program.
func (p *program) Snapshot(s workflow.State) ([]byte, error) {
	data, err := json.Marshal(s.(*state))
	if err != nil {
		return nil, faas.Errorf("schedule", "snapshot", "", faas.ErrInternal, "%w", err)
	}
	return data, nil
}

// Restore implements workflow.Program.
func (p *program) Restore(snapshot []byte, _ workflow.PayloadSource) (workflow.State, error) {
	s := new(state)
	if err := json.Unmarshal(snapshot, s); err != nil {
		return nil, faas.Errorf("schedule", "restore", "", faas.ErrCorrupt, "%w", err)
	}
	return s, nil
}

// Graph implements workflow.Grapher.
func (p *program) Graph() *workflow.Graph {
	return &workflow.Graph{
		Nodes: []workflow.Node{{Name: "timer", Kind: "wait"}, {Name: "run", Kind: "call"}, {Name: "backfill", Kind: "wait"}},
		Edges: []workflow.Edge{{From: "timer", To: "run"}, {From: "backfill", To: "run"}},
	}
}

// Query implements workflow.Querier: "next" answers the next times as a list, ten of them or as many as
// the argument, a number up to 1,000, says; "state" answers the Counters.
func (p *program) Query(s workflow.State, name string, argument workflow.Payload) (workflow.Payload, error) {
	st := s.(*state)
	switch name {
	case "state":
		return workflow.MarshalPayload(st.Counters)
	case "next":
		n := 10
		if data, ok := argument.InHand(); !argument.IsZero() && (!ok || json.Unmarshal(data, &n) != nil || n < 1 || n > 1000) {
			return workflow.Payload{}, faas.Errorf("schedule", "query", name, faas.ErrInvalidArgument, "the argument is a number from 1 to 1000")
		}
		t, times := turn{program: p, s: st}, []string{}
		for at := t.next(st.Done); !at.IsZero() && len(times) < n; at = t.next(at) {
			times = append(times, at.In(p.times.zone).Format(time.RFC3339))
		}
		return workflow.MarshalPayload(times)
	}
	return workflow.Payload{}, faas.Errorf("schedule", "query", name, faas.ErrNotFound, `there are "next" and "state"`)
}
