package storebench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// store makes one record durable. The key is 8 bytes of an execution and 8 of a sequence number.
type store interface {
	put(key [16]byte, value []byte) error
	close() error
}

var libraries = []struct {
	name string
	open func(dir string) (store, error)
}{
	{"plain", openPlain}, {"pebble", openPebble}, {"raftwal", openRaftWAL}, {"bbolt", openBolt}, {"sqlite", openSQLite},
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{256, 2048} {
		for _, writers := range []int{1, 64, 256} {
			limit := 0.0
			for _, l := range libraries {
				b.Run(fmt.Sprintf("%dB/%dwriters/%s", size, writers, l.name), func(b *testing.B) {
					s, err := l.open(b.TempDir())
					if err != nil {
						b.Fatal(err)
					}
					defer func() {
						if err := s.close(); err != nil {
							b.Error(err)
						}
					}()
					rate := measure(b, s, size, writers)
					if l.name == "plain" {
						limit = rate
					}
					b.ReportMetric(rate/limit, "limit-x")
				})
			}
		}
	}
}

// measure puts b.N records by so many writers, each of which waits for its own, and returns how
// many a second.
func measure(b *testing.B, s store, size, writers int) float64 {
	var (
		next  atomic.Int64
		group sync.WaitGroup
		took  = make([][]time.Duration, writers)
	)
	b.ResetTimer()
	began := time.Now()
	for w := range writers {
		group.Go(func() {
			random := rand.NewChaCha8([32]byte{byte(w), byte(w >> 8)})
			value := make([]byte, size)
			for seq := uint64(0); next.Add(1) <= int64(b.N); seq++ {
				random.Read(value[:size/2]) // half of it can be compressed
				var key [16]byte
				binary.BigEndian.PutUint64(key[:], uint64(w))
				binary.BigEndian.PutUint64(key[8:], seq)
				put := time.Now()
				if err := s.put(key, value); err != nil {
					b.Error(err)
					return
				}
				took[w] = append(took[w], time.Since(put))
			}
		})
	}
	group.Wait()
	rate := float64(b.N) / time.Since(began).Seconds()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(rate, "records/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
	return rate
}
