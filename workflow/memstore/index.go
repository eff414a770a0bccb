package memstore

import (
	"iter"
	"slices"
	"sort"

	"github.com/joinery/faas/workflow/internal/order"
)

// index has the executions of a shard in reverse order of lists, so that a new one goes to the end. Removed
// ones stay as marks of their place until they are half of it.
type index struct {
	runs []*history
	gone int
}

func (x *index) insert(h *history) {
	p := order.Of(&h.record)
	i := len(x.runs)
	for i > 0 && order.Compare(order.Of(&x.runs[i-1].record), p) < 0 {
		i--
	}
	x.runs = slices.Insert(x.runs, i, h)
}

// removed says that an execution was marked as gone.
func (x *index) removed() {
	if x.gone++; x.gone > len(x.runs)/2 {
		x.runs = slices.DeleteFunc(x.runs, func(h *history) bool { return h.gone })
		x.gone = 0
	}
}

// after yields the executions after the place, or all of them, in the order of lists.
func (x *index) after(p *order.Position) iter.Seq[*history] {
	return func(yield func(*history) bool) {
		i := len(x.runs)
		if p != nil {
			i = sort.Search(i, func(i int) bool { return order.Compare(order.Of(&x.runs[i].record), *p) <= 0 })
		}
		for i--; i >= 0; i-- {
			if h := x.runs[i]; !h.gone && !yield(h) {
				return
			}
		}
	}
}
