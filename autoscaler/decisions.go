package autoscaler

import (
	"slices"
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

// Decisions returns the kept decisions about a version, about all versions of a function
// (an empty Version), or about everything (the zero Ref), the oldest first. A decision is
// kept when it differs from the one before, or is the first that could not be carried out.
func (l *Loop) Decisions(fn faas.Ref) []Record {
	all := l.log.All()
	if fn == (faas.Ref{}) {
		return all
	}
	fn = fn.WithDefaults()
	return slices.DeleteFunc(all, func(r Record) bool {
		of := r.Function.WithDefaults()
		return of != fn && (fn.Version != "" || of.Unversioned() != fn)
	})
}
