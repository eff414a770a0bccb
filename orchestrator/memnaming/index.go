package memnaming

import (
	"iter"
	"slices"
	"strings"
)

// blockSize bounds what one insertion has to move.
const blockSize = 512

// index keeps the items in the order of their names: in blocks of at most
// blockSize, so that insertion and removal move little and a list reads memory in order.
type index struct {
	blocks [][]*item // none is empty
}

func compareName(it *item, name string) int { return strings.Compare(it.Name, name) }

// find returns the block and the position in it where name is or belongs.
func (x *index) find(name string) (b, i int) {
	b, found := slices.BinarySearchFunc(x.blocks, name, func(block []*item, name string) int {
		return compareName(block[0], name)
	})
	if found {
		return b, 0
	}
	b = max(b-1, 0)
	if len(x.blocks) > 0 {
		i, _ = slices.BinarySearchFunc(x.blocks[b], name, compareName)
	}
	return b, i
}

// insert adds an item whose name is not there yet.
func (x *index) insert(it *item) {
	if len(x.blocks) == 0 {
		x.blocks = append(x.blocks, append(make([]*item, 0, blockSize), it))
		return
	}
	b, i := x.find(it.Name)
	block := slices.Insert(x.blocks[b], i, it)
	if len(block) < blockSize {
		x.blocks[b] = block
		return
	}
	half := append(make([]*item, 0, blockSize), block[blockSize/2:]...)
	clear(block[blockSize/2:])
	x.blocks[b] = block[:blockSize/2]
	x.blocks = slices.Insert(x.blocks, b+1, half)
}

// remove takes out an item that is there.
func (x *index) remove(it *item) {
	b, i := x.find(it.Name)
	if block := slices.Delete(x.blocks[b], i, i+1); len(block) > 0 {
		x.blocks[b] = block
	} else {
		x.blocks = slices.Delete(x.blocks, b, b+1)
	}
}

// withPrefix yields the items whose names have the prefix, in order.
func (x *index) withPrefix(prefix string) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		b, i := x.find(prefix)
		for ; b < len(x.blocks); b, i = b+1, 0 {
			for _, it := range x.blocks[b][i:] {
				if !strings.HasPrefix(it.Name, prefix) || !yield(it) {
					return
				}
			}
		}
	}
}
