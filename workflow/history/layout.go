package history

import (
	"cmp"
	"slices"
	"unicode/utf8"

	"github.com/joinery/faas/workflow"
)

// A layered drawing (K. Sugiyama, S. Tagawa, M. Toda, 1981): nodes go into layers by
// their longest way from a start, each layer is ordered by the mean position of
// its neighbours, and edges run from layer to layer.

type box struct {
	node         workflow.Node
	layer        int
	x, y, width  float64
	pos          float64
	above, below []*box
}

const (
	boxHeight   = 44.0
	charWidth   = 7.6
	boxPadding  = 24.0
	layerGap    = 46.0
	boxGap      = 26.0
	margin      = 24.0
	orderRounds = 8
)

func layout(g *workflow.Graph, text func(name string) string) (boxes []*box, width, height float64) {
	byName := map[string]*box{}
	frames := frames(g)
	for _, n := range g.Nodes {
		if frames[n.Name] {
			continue
		}
		chars := max(utf8.RuneCountInString(n.Name), utf8.RuneCountInString(text(n.Name)))
		b := &box{node: n, width: max(90, float64(min(chars, maxCell))*charWidth+boxPadding)}
		boxes = append(boxes, b)
		byName[n.Name] = b
	}
	for _, e := range g.Edges {
		from, to := byName[e.From], byName[e.To]
		if from != nil && to != nil && from != to {
			from.below, to.above = append(from.below, to), append(to.above, from)
		}
	}
	layers := layered(boxes)
	for _, layer := range layers {
		for i, b := range layer {
			b.pos = float64(i)
		}
	}
	for round := range orderRounds {
		for i := range layers {
			layer, neighbours := layers[i], func(b *box) []*box { return b.above }
			if round%2 == 1 {
				layer, neighbours = layers[len(layers)-1-i], func(b *box) []*box { return b.below }
			}
			arrange(layer, neighbours)
		}
	}
	for i, layer := range layers {
		x := 0.0
		for _, b := range layer {
			b.x, b.y = x, margin+float64(i)*(boxHeight+layerGap)
			x += b.width + boxGap
		}
		width = max(width, x-boxGap)
	}
	for _, layer := range layers {
		if len(layer) == 0 {
			continue
		}
		last := layer[len(layer)-1]
		shift := margin + (width-(last.x+last.width))/2
		for _, b := range layer {
			b.x += shift
		}
	}
	return boxes, width + 2*margin, 2*margin + float64(len(layers))*(boxHeight+layerGap) - layerGap
}

// frames returns the groups that are drawn as a frame alone: they have members and no edge of their own.
func frames(g *workflow.Graph) map[string]bool {
	frames := map[string]bool{}
	for _, n := range g.Nodes {
		if n.Group != "" && n.Group != n.Name {
			frames[n.Group] = true
		}
	}
	for _, e := range g.Edges {
		delete(frames, e.From)
		delete(frames, e.To)
	}
	return frames
}

// layered puts every box below all that lead to it; edges that close a cycle are left out of account.
func layered(boxes []*box) [][]*box {
	const unseen, open, done = 0, 1, 2
	state := map[*box]int{}
	var order []*box // reverse topological, back edges ignored
	type frame struct {
		b    *box
		next int
	}
	forward := map[*box][]*box{}
	for _, start := range boxes {
		if state[start] != unseen {
			continue
		}
		state[start] = open
		stack := []frame{{b: start}}
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			if f.next == len(f.b.below) {
				state[f.b] = done
				order = append(order, f.b)
				stack = stack[:len(stack)-1]
				continue
			}
			to := f.b.below[f.next]
			f.next++
			if state[to] == open {
				continue
			}
			forward[f.b] = append(forward[f.b], to)
			if state[to] == unseen {
				state[to] = open
				stack = append(stack, frame{b: to})
			}
		}
	}
	deepest := -1
	for _, b := range slices.Backward(order) {
		deepest = max(deepest, b.layer)
		for _, to := range forward[b] {
			to.layer = max(to.layer, b.layer+1)
			deepest = max(deepest, to.layer)
		}
	}
	layers := make([][]*box, deepest+1)
	for _, b := range boxes {
		layers[b.layer] = append(layers[b.layer], b)
	}
	return layers
}

// arrange orders a layer by the mean position of each box's neighbours.
func arrange(layer []*box, neighbours func(*box) []*box) {
	for _, b := range layer {
		if near := neighbours(b); len(near) > 0 {
			sum := 0.0
			for _, n := range near {
				sum += n.pos
			}
			b.pos = sum / float64(len(near))
		}
	}
	slices.SortStableFunc(layer, func(a, b *box) int { return cmp.Compare(a.pos, b.pos) })
	for i, b := range layer {
		b.pos = float64(i)
	}
}
