package autoscaler

import (
	"slices"
	"sync"
	"time"

	"github.com/joinery/faas"
)

// Record is an entry of the decision log.
type Record struct {
	// Time is when it was decided, about which version.
	Time     time.Time
	Function faas.Ref
	// From is the number of instances there were, starting ones included.
	From int
	// Instances is the number wanted. With Hold it is what there was.
	Instances int
	Hold      bool
	// Why is the policy's explanation, with what the loop had to add.
	Why string
	// Err is why the decision could not be carried out; nil when it was.
	Err error
}

// log is a bounded ring of records. Safe for concurrent use.
type log struct {
	mu      sync.Mutex
	records []Record
	next    int // where the next one goes once the ring is full
	most    int
}

func (l *log) add(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.records) < l.most {
		l.records = append(l.records, r)
		return
	}
	l.records[l.next] = r
	l.next = (l.next + 1) % l.most
}

func (l *log) list(fn faas.Ref) []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Concat(l.records[l.next:], l.records[:l.next])
	if fn == (faas.Ref{}) {
		return all
	}
	fn = fn.WithDefaults()
	return slices.DeleteFunc(all, func(r Record) bool {
		of := r.Function.WithDefaults()
		return of != fn && (fn.Version != "" || of.Unversioned() != fn)
	})
}

// Decisions returns the kept decisions about a version, about all versions of a function
// (an empty Version), or about everything (the zero Ref), the oldest first. A decision is
// kept when it differs from the one before, or is the first that could not be carried out.
func (l *Loop) Decisions(fn faas.Ref) []Record { return l.log.list(fn) }
