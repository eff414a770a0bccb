package criticalpath_test

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/criticalpath"
	"github.com/joinery/faas/workflow/fifo"
)

// A platform in virtual time that runs generated workflows by a scheduler: the same work for each
// scheduler, so that what they make of it can be compared without noise.

// shape is a generated workflow: chains of steps in parallel, then a join, then a choice between two nodes,
// taken 9 times of 10 for the first. Run times are log-normal.
type shape struct {
	ref    faas.Ref
	graph  *workflow.Graph
	before [][]int
	after  [][]int
	choice int // the node before the choice
	median []time.Duration
}

func generate(r *rand.Rand, n int) (shapes []*shape) {
	for w := range n {
		s := &shape{ref: faas.Ref{Namespace: "default", Name: fmt.Sprint("w-", w), Version: "1"}, graph: &workflow.Graph{}}
		branches := 6 + r.IntN(13)
		nodes := 1
		var chains []int
		for range branches {
			chains = append(chains, 1+r.IntN(4))
			nodes += chains[len(chains)-1]
		}
		nodes += 3 // the join, and what the choice is between
		s.before, s.after = make([][]int, nodes), make([][]int, nodes)
		for i := range nodes {
			f := faas.Ref{Namespace: "default", Name: fmt.Sprintf("f-%d-%d", w, i)}
			s.graph.Nodes = append(s.graph.Nodes, workflow.Node{Name: fmt.Sprint(i), Kind: "call", Function: f})
			s.median = append(s.median, time.Duration(math.Exp(r.NormFloat64()*1.2)*float64(time.Second)))
		}
		edge := func(from, to int, choice bool) {
			s.before[to] = append(s.before[to], from)
			s.after[from] = append(s.after[from], to)
			s.graph.Edges = append(s.graph.Edges, workflow.Edge{From: fmt.Sprint(from), To: fmt.Sprint(to), Choice: choice})
		}
		s.choice = nodes - 3
		node := 1
		for _, length := range chains {
			edge(0, node, false)
			for range length - 1 {
				edge(node, node+1, false)
				node++
			}
			edge(node, s.choice, false)
			node++
		}
		edge(s.choice, nodes-2, true)
		edge(s.choice, nodes-1, true)
		shapes = append(shapes, s)
	}
	return shapes
}

// run is one execution of a shape.
type run struct {
	*shape
	ref     workflow.ExecutionRef
	began   time.Time
	missing []int // predecessors
	times   []time.Duration
	rare    bool // the choice
	open    int
}

// moment is something that happens at a time.
type moment struct {
	at     time.Time
	number int
	do     func()
}

type moments []moment

func (m moments) Len() int { return len(m) }
func (m moments) Less(i, j int) bool {
	return m[i].at.Before(m[j].at) || m[i].at.Equal(m[j].at) && m[i].number < m[j].number
}
func (m moments) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *moments) Push(v any)   { *m = append(*m, v.(moment)) }
func (m *moments) Pop() any {
	old := *m
	last := old[len(old)-1]
	*m = old[:len(old)-1]
	return last
}

// platform runs steps. An instance that was idle for longer than keep is gone.
type platform struct {
	s         workflow.Scheduler
	now       time.Time
	moments   moments
	number    int
	keep      time.Duration
	cold      func(faas.Ref) time.Duration
	idle      map[faas.Ref][]time.Time // since when
	result    result
	lastAwake time.Time
}

type result struct {
	executions, starts, coldStarts, prewarmed, inVain int
	latency, coldWait                                 time.Duration // sums
	makespan                                          time.Duration
}

func (r result) mean() time.Duration { return r.latency / time.Duration(r.executions) }

func (p *platform) at(t time.Time, do func()) {
	p.number++
	heap.Push(&p.moments, moment{t, p.number, do})
}

// simulate runs the arrivals by the scheduler; the stream of random numbers is the same for each.
func simulate(s workflow.Scheduler, shapes []*shape, executions int, gap, keep time.Duration, cold func(faas.Ref) time.Duration) result {
	p := &platform{s: s, now: began, keep: keep, cold: cold, idle: map[faas.Ref][]time.Time{}}
	if l, ok := s.(workflow.Learner); ok {
		for _, shape := range shapes {
			l.Describe(shape.ref, shape.graph)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	at := began
	for i := range executions {
		shape := shapes[r.IntN(len(shapes))]
		x := &run{shape: shape, ref: workflow.ExecutionRef{Namespace: "default", ID: fmt.Sprint(i), Run: 1}, rare: r.IntN(10) == 0, began: at}
		for j := range shape.graph.Nodes {
			x.missing = append(x.missing, len(shape.before[j]))
			x.times = append(x.times, time.Duration(float64(shape.median[j])*math.Exp(r.NormFloat64()*0.2)))
		}
		p.at(at, func() { p.open(x, 0) })
		at = at.Add(time.Duration(r.ExpFloat64() * float64(gap)))
	}
	for len(p.moments) > 0 {
		m := heap.Pop(&p.moments).(moment)
		p.now = m.at
		m.do()
		p.decide()
	}
	p.result.makespan = p.now.Sub(began)
	for _, idle := range p.idle {
		p.result.inVain += len(idle)
	}
	return p.result
}

func (p *platform) open(x *run, node int) {
	x.open++
	n := x.graph.Nodes[node]
	p.s.Ready(p.now, &workflow.ReadyStep{Execution: x.ref, Workflow: x.shape.ref, Step: n.Name, Node: n.Name, Function: n.Function,
		Attempt: 1, Slots: 1, Since: p.now, Owner: func(step *workflow.ReadyStep) { p.start(x, node, step) }})
}

func (p *platform) decide() {
	var d workflow.Decision
	p.s.Next(p.now, &d)
	for _, step := range d.Run {
		step.Owner.(func(*workflow.ReadyStep))(step)
	}
	for _, pre := range d.Prewarm {
		p.result.prewarmed++
		p.at(p.now.Add(p.cold(pre.Function)), func() { p.idle[pre.Function] = append(p.idle[pre.Function], p.now) })
	}
	if !d.Wake.IsZero() && !d.Wake.Equal(p.lastAwake) {
		p.lastAwake = d.Wake
		p.at(d.Wake, func() {})
	}
}

func (p *platform) start(x *run, node int, step *workflow.ReadyStep) {
	p.result.starts++
	idle := p.idle[step.Function]
	for len(idle) > 0 && p.now.Sub(idle[0]) > p.keep {
		idle = idle[1:]
	}
	var cold time.Duration
	if len(idle) > 0 {
		idle = idle[:len(idle)-1]
	} else if cold = p.cold(step.Function); cold > 0 {
		p.result.coldStarts++
		p.result.coldWait += cold
	}
	p.idle[step.Function] = idle
	took := cold + x.times[node]
	p.at(p.now.Add(took), func() {
		p.idle[step.Function] = append(p.idle[step.Function], p.now)
		x.open--
		for _, next := range x.after[node] {
			if node == x.choice && (next == len(x.missing)-1) != x.rare {
				continue
			}
			if x.missing[next]--; x.missing[next] == 0 {
				p.open(x, next)
			}
		}
		p.s.Done(p.now, step, workflow.StepRecord{Workflow: x.shape.ref, Node: step.Node, Function: step.Function, Attempt: 1, Ended: p.now, Run: took, Cold: cold})
		if x.open == 0 {
			p.result.executions++
			p.result.latency += p.now.Sub(x.began)
			if l, ok := p.s.(workflow.Learner); ok {
				l.Ended(p.now, x.ref)
			}
		}
	})
}

func newScheduler(t testing.TB, c criticalpath.Config) *criticalpath.Scheduler {
	s, err := criticalpath.New(c)
	require.NoError(t, err)
	return s
}

func warm(faas.Ref) time.Duration { return 0 }

// coldStart is between half a second and three, by the function's name.
func coldStart(f faas.Ref) time.Duration {
	sum := 0
	for _, c := range f.Name {
		sum = sum*31 + int(c)
	}
	return 500*time.Millisecond + time.Duration(sum%2500)*time.Millisecond
}

func TestMakespanBeatsFIFO(t *testing.T) {
	var first, learned result
	for seed := range uint64(20) { // 20 workflows, each alone on 4 slots, after 10 executions to learn from
		shapes := generate(rand.New(rand.NewPCG(seed, 1)), 1)
		a := simulate(fifo.New(&fifo.Options{Limit: 4}), shapes, 60, time.Hour, 0, warm)
		b := simulate(newScheduler(t, criticalpath.Config{Limit: 4}), shapes, 60, time.Hour, 0, warm)
		require.Equal(t, a.starts, b.starts)
		first.latency, learned.latency = first.latency+a.mean(), learned.latency+b.mean()
	}
	ratio := float64(learned.latency) / float64(first.latency)
	t.Logf("mean time of an execution on 4 slots: %.2fx that of fifo", ratio)
	assert.Less(t, ratio, 0.95)
}

func TestMeanBeatsFIFOUnderLoad(t *testing.T) {
	shapes := generate(rand.New(rand.NewPCG(1, 1)), 5)
	for _, slots := range []int{16, 32} {
		gap := 79 * time.Second / time.Duration(slots) // nine tenths of what the slots can do
		a := simulate(fifo.New(&fifo.Options{Limit: slots}), shapes, 1500, gap, 0, warm)
		b := simulate(newScheduler(t, criticalpath.Config{Limit: slots}), shapes, 1500, gap, 0, warm)
		t.Logf("%d slots: mean %v against %v of fifo, makespan %v against %v", slots, b.mean(), a.mean(), b.makespan, a.makespan)
		require.Equal(t, a.starts, b.starts)
		assert.Less(t, float64(b.mean()), float64(a.mean()))
		assert.LessOrEqual(t, float64(b.makespan), 1.01*float64(a.makespan))
	}
}

func TestPrewarmingRemovesColdStarts(t *testing.T) {
	shapes := generate(rand.New(rand.NewPCG(1, 1)), 5)
	none := simulate(newScheduler(t, criticalpath.Config{Sure: 2}), shapes, 1000, 2*time.Minute, 30*time.Second, coldStart)
	with := simulate(newScheduler(t, criticalpath.Config{}), shapes, 1000, 2*time.Minute, 30*time.Second, coldStart)
	t.Logf("of %d starts cold: %d without prewarming, %d with; mean %v and %v; %d prewarmed", none.starts, none.coldStarts, with.coldStarts, none.mean(), with.mean(), with.prewarmed)
	assert.Less(t, float64(with.coldStarts), 0.4*float64(none.coldStarts))
	assert.Less(t, with.mean(), none.mean())
	assert.Less(t, float64(with.prewarmed), 1.3*float64(none.coldStarts))
}

func BenchmarkStep(b *testing.B) {
	s := newScheduler(b, criticalpath.Config{})
	step := &workflow.ReadyStep{Execution: workflow.ExecutionRef{Namespace: "default", ID: "x", Run: 1},
		Workflow: faas.Ref{Namespace: "default", Name: "w", Version: "1"}, Node: "n", Function: faas.Ref{Namespace: "default", Name: "f"}, Slots: 1}
	var d workflow.Decision
	now := began
	for b.Loop() {
		s.Ready(now, step)
		d.Run = d.Run[:0]
		s.Next(now, &d)
		s.Done(now, step, workflow.StepRecord{Workflow: step.Workflow, Node: "n", Function: step.Function, Run: time.Second})
	}
}
