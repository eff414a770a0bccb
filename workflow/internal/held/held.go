// Package held finds what keeps a payload in a store when a log is trimmed.
package held

import (
	"bytes"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Digests is a set of payloads that must stay.
type Digests map[faas.Digest]struct{}

// Payload adds the payload if it is held by reference.
func (ds Digests) Payload(p workflow.Payload) {
	if d, ok := p.Digest(); ok {
		ds[d] = struct{}{}
	}
}

// Event adds the payloads of an event.
func (ds Digests) Event(e *workflow.Event) {
	ds.Payload(e.Payload)
	if e.Failure != nil {
		ds.Payload(e.Failure.Details)
	}
}

// Record adds the payloads of a record.
func (ds Digests) Record(x *workflow.Execution) {
	ds.Payload(x.Output)
	if x.Failure != nil {
		ds.Payload(x.Failure.Details)
	}
}

var prefix = []byte("sha256:")

const digits = 64

// Snapshot adds every digest that stands in a snapshot as text, which is how
// workflow.AppendPayload and the JSON form of a payload write it.
func (ds Digests) Snapshot(snapshot []byte) {
	for {
		i := bytes.Index(snapshot, prefix)
		if i < 0 {
			return
		}
		snapshot = snapshot[i:]
		if n := len(prefix) + digits; len(snapshot) >= n {
			if d := faas.Digest(snapshot[:n]); d.Validate() == nil {
				ds[d] = struct{}{}
			}
		}
		snapshot = snapshot[len(prefix):]
	}
}
