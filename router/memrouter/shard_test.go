package memrouter

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestShardAgainstModel takes, releases and resizes at random and compares every choice with what
// a search through all shares would choose.
func TestShardAgainstModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		sh := &shard{low: -1}
		in := &instance{f: &function{}}
		shares := make([]*share, 1+rnd.IntN(6))
		for i := range shares {
			shares[i] = &share{sh: sh, in: in, size: int32(1 + rnd.IntN(5))}
			in.shares = nil
		}
		resize := func(s *share, limit int32) {
			sh.cut(s)
			s.limit = limit
			sh.put(s)
			sh.settle()
		}
		var taken []*share
		for range 300 {
			switch rnd.IntN(5) {
			case 0:
				s := shares[rnd.IntN(len(shares))]
				resize(s, []int32{0, s.n + 1, s.size}[rnd.IntN(3)])
			case 1, 2:
				least := int32(-1)
				for _, s := range shares {
					if s.n < s.limit && (least < 0 || s.n < least) {
						least = s.n
					}
				}
				require.Equal(t, least >= 0, sh.avail.Load())
				s := sh.take(1)
				if least < 0 {
					require.Nil(t, s)
					break
				}
				require.NotNil(t, s)
				require.Equal(t, least, s.n-1, "not the least busy one")
				taken = append(taken, s)
			default:
				if len(taken) > 0 {
					i := rnd.IntN(len(taken))
					taken[i].release(ending{completed: 1})
					taken[i] = taken[len(taken)-1]
					taken = taken[:len(taken)-1]
				}
			}
			require.Equal(t, len(taken), sh.busy)
		}
	}
}

// TestTiesGoRound: among equals every instance gets its turn.
func TestTiesGoRound(t *testing.T) {
	sh := &shard{low: -1}
	in := &instance{f: &function{}}
	turns := map[*share]int{}
	for range 4 {
		s := &share{sh: sh, in: in, size: 2, limit: 2}
		sh.put(s)
		sh.settle()
		turns[s] = 0
	}
	for range 40 {
		s := sh.take(1)
		turns[s]++
		s.release(ending{completed: 1, answered: 1})
	}
	for _, n := range turns {
		assert.Equal(t, 10, n)
	}
}

// TestSharesHoldEverySlotOnce for any number of slots and shards.
func TestSharesHoldEverySlotOnce(t *testing.T) {
	for slots := 1; slots < 70; slots++ {
		for n := 1; n <= maxShards; n *= 2 {
			shards := make([]shard, n)
			for i := range shards {
				shards[i].low = -1
			}
			in := &instance{f: &function{}}
			in.shares = newShares(in, shards, slots, slots)
			in.open()
			var got []*share
			for s := takeAny(shards, nil, 1); s != nil; s = takeAny(shards, nil, 1) {
				got = append(got, s)
			}
			require.Len(t, got, slots)
			busy, _ := in.use()
			require.Equal(t, slots, busy)
		}
	}
}

// TestNoSlotIsLost under calls from everywhere at once.
func TestNoSlotIsLost(t *testing.T) {
	hints := sync.Pool{New: func() any { return &hint{} }}
	f := &function{}
	f.shards.Store(newShards())
	const slots = 7
	in := &instance{f: f}
	in.shares = newShares(in, *f.shards.Load(), slots, 0)
	in.open()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5000 {
				if s := f.take(&hints, 1); s != nil {
					s.release(ending{completed: 1, answered: 1})
				}
			}
		})
	}
	wg.Wait()
	n := 0
	for takeAny(*f.shards.Load(), nil, 1) != nil {
		n++
	}
	assert.Equal(t, slots, n)
	busy, arrived, completed, answered := f.counts()
	assert.Equal(t, slots, busy)
	assert.Equal(t, arrived, completed+slots)
	assert.Equal(t, completed, answered)
}
