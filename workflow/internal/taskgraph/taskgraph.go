// Package taskgraph is what the declarative languages share: a graph of tasks that need one
// another, checked for cycles, ordered, and small enough to hold ten thousand; and what an event means that is
// the same in all of them.
package taskgraph

import (
	"iter"
	"math/bits"
	"slices"
)

// Graph is a graph of tasks numbered from 0. It is immutable after New.
type Graph struct {
	needs, next [][]int32
}

// New returns the graph in which task i needs the tasks needs[i], each once.
func New(needs [][]int32) *Graph {
	g := &Graph{needs: needs, next: make([][]int32, len(needs))}
	sizes := make([]int32, len(needs))
	total := 0
	for _, list := range needs {
		total += len(list)
		for _, n := range list {
			sizes[n]++
		}
	}
	all := make([]int32, 0, total) // one allocation for all lists
	for i, size := range sizes {
		g.next[i] = all[len(all) : len(all) : len(all)+int(size)]
		all = all[:len(all)+int(size)]
	}
	for i, list := range needs {
		for _, n := range list {
			g.next[n] = append(g.next[n], int32(i))
		}
	}
	return g
}

// Len is the number of tasks.
func (g *Graph) Len() int { return len(g.needs) }

// Needs are the tasks that task i needs.
func (g *Graph) Needs(i int32) []int32 { return g.needs[i] }

// Next are the tasks that need task i, ascending.
func (g *Graph) Next(i int32) []int32 { return g.next[i] }

// Order returns the tasks so that each comes after those it needs; those in or behind a cycle are missing.
func (g *Graph) Order() []int32 {
	left := make([]int32, len(g.needs))
	order := make([]int32, 0, len(g.needs))
	for i, list := range g.needs {
		left[i] = int32(len(list))
		if left[i] == 0 {
			order = append(order, int32(i))
		}
	}
	for at := 0; at < len(order); at++ {
		for _, j := range g.next[order[at]] {
			if left[j]--; left[j] == 0 {
				order = append(order, j)
			}
		}
	}
	return order
}

// Cycles returns cycles, at most limit and none sharing a task: each is a path of tasks of which every one
// is needed by the one before it, and the last needs the first.
func (g *Graph) Cycles(limit int) (cycles [][]int32) {
	if len(g.Order()) == len(g.needs) {
		return nil
	}
	const (
		fresh = iota
		onPath
		done
	)
	mark := make([]byte, len(g.needs))
	type frame struct {
		task int32
		at   int
	}
	for root := range g.needs {
		stack := []frame{{task: int32(root)}}
		if mark[root] != fresh {
			continue
		}
		mark[root] = onPath
		for len(stack) > 0 && len(cycles) < limit {
			top := &stack[len(stack)-1]
			if top.at == len(g.needs[top.task]) {
				mark[top.task] = done
				stack = stack[:len(stack)-1]
				continue
			}
			need := g.needs[top.task][top.at]
			top.at++
			switch mark[need] {
			case fresh:
				mark[need] = onPath
				stack = append(stack, frame{task: need})
			case onPath:
				from := slices.IndexFunc(stack, func(f frame) bool { return f.task == need })
				var cycle []int32
				for _, f := range stack[from:] {
					cycle = append(cycle, f.task)
					mark[f.task] = done
				}
				cycles = append(cycles, cycle)
				stack = stack[:from]
			}
		}
	}
	return cycles
}

// Reach says which tasks come before which.
type Reach struct {
	words int
	bits  []uint64
}

// Ancestors returns for every task all that it needs, directly or not. The graph must have no cycle.
// It takes n²/8 bytes: 12 MB for 10,000 tasks.
func (g *Graph) Ancestors() *Reach { return g.reach(g.Order(), g.needs) }

// Descendants returns for every task all that need it, directly or not.
func (g *Graph) Descendants() *Reach {
	order := g.Order()
	slices.Reverse(order)
	return g.reach(order, g.next)
}

func (g *Graph) reach(order []int32, edges [][]int32) *Reach {
	r := &Reach{words: (len(edges) + 63) / 64}
	r.bits = make([]uint64, r.words*len(edges))
	for _, i := range order {
		row := r.row(i)
		for _, n := range edges[i] {
			row[n/64] |= 1 << (n % 64)
			for w, word := range r.row(n) {
				row[w] |= word
			}
		}
	}
	return r
}

func (r *Reach) row(i int32) []uint64 { return r.bits[int(i)*r.words : (int(i)+1)*r.words] }

// Has reports whether task j is among those of task i.
func (r *Reach) Has(i, j int32) bool { return r.row(i)[j/64]&(1<<(j%64)) != 0 }

// All yields the tasks of task i, ascending.
func (r *Reach) All(i int32) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for w, word := range r.row(i) {
			for ; word != 0; word &= word - 1 {
				if !yield(int32(w*64 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}
