package criticalpath

import (
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// history is what was learned from records.
type history struct {
	nodes     recent[nodeKey, sketch]         // how long a node runs, its cold start aside
	functions recent[faas.Ref, functionTimes] // the same by function
	choices   recent[edgeKey, uint32]         // how often a Choice edge was taken
	all       sketch
}

// nodeKey names a node over all versions of its workflow.
type nodeKey struct {
	workflow faas.Ref
	node     string
}

type edgeKey struct {
	nodeKey
	to string
}

type functionTimes struct{ run, cold sketch }

// remembered bounds what is kept of each kind, about 1 kB each.
const remembered = 8192

func newHistory() history {
	return history{
		nodes:     recent[nodeKey, sketch]{most: remembered},
		functions: recent[faas.Ref, functionTimes]{most: remembered},
		choices:   recent[edgeKey, uint32]{most: 8 * remembered},
	}
}

// observe learns from the record of one attempt. One that failed says nothing of how long a success takes.
func (h *history) observe(r *workflow.StepRecord) {
	f := h.functions.get(r.Function)
	if f == nil {
		f = h.functions.add(r.Function, new(functionTimes))
	}
	if r.Cold > 0 {
		f.cold.add(r.Cold)
	}
	if r.Failed {
		return
	}
	run := max(r.Run-max(r.Cold, 0), 0)
	key := nodeKey{r.Workflow.Unversioned(), r.Node}
	n := h.nodes.get(key)
	if n == nil {
		n = h.nodes.add(key, new(sketch))
	}
	n.add(run)
	f.run.add(run)
	h.all.add(run)
}

// unknown is how long a step is taken to run when nothing at all is known.
const unknown = time.Second

// runs are the runs to expect of a node: its own, else those of its function, else of all. May be empty.
func (h *history) runs(key nodeKey, function faas.Ref) *sketch {
	if n := h.nodes.get(key); n != nil {
		return n
	}
	if f := h.functions.get(function); f != nil && f.run.total > 0 {
		return &f.run
	}
	return &h.all
}

// cold returns the 95th percentile of a function's cold starts, rounded up, and how many there were; 0 if none.
func (h *history) cold(function faas.Ref) (p95 time.Duration, count int) {
	f := h.functions.get(function)
	if f == nil || f.cold.total == 0 {
		return 0, 0
	}
	_, p95 = f.cold.bounds(0.95)
	return p95, f.cold.total
}

// chose counts that a Choice edge was taken.
func (h *history) chose(key edgeKey) {
	n := h.choices.get(key)
	if n == nil {
		n = h.choices.add(key, new(uint32))
	}
	if *n++; *n >= full {
		*n /= 2
	}
}

// probabilities returns for the Choice edges that leave a node how likely each is taken (Laplace's rule
// of succession: one more than was seen, so that nothing is certain).
func (h *history) probabilities(from nodeKey, to []string) []float64 {
	p, sum := make([]float64, len(to)), 0.0
	for i, name := range to {
		p[i] = 1
		if n := h.choices.get(edgeKey{from, name}); n != nil {
			p[i] += float64(*n)
		}
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}
