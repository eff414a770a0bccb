package orchestrator

import (
	"encoding/json"
	"math"
	"time"

	"github.com/joinery/faas"
)

// The records that resource managers and node agents of this layer exchange, as
// JSON under these names:
//
//	nodes/<node>                 NodeRecord, by the agent, under a lease: without it the node is lost
//	drains/<node>                present while the node is draining, by the manager
//	workloads/<id>               WorkloadRecord, by the manager: desired state
//	assignments/<node>/<id>      Assignment, by the manager: what the node is to run; deleted to stop it
//	statuses/<node>/<id>         Status, by the agent: observed state; deleted when nothing is left of it
const (
	NodesPrefix       = "nodes/"
	DrainsPrefix      = "drains/"
	WorkloadsPrefix   = "workloads/"
	AssignmentsPrefix = "assignments/"
	StatusesPrefix    = "statuses/"
)

// NodeRecord is a node's announcement.
type NodeRecord struct {
	Node Node `json:"node"`
	// Incarnation is new for each run of an agent, so that a restart is seen.
	Incarnation string `json:"incarnation"`
}

// WorkloadRecord is the desired state of one workload.
type WorkloadRecord struct {
	Workload Workload  `json:"workload"`
	Applied  time.Time `json:"applied"`
	// Removed: it is no longer wanted.
	Removed bool `json:"removed,omitempty"`
}

// Assignment is the decision that a node is to run a workload.
type Assignment struct {
	Workload Workload `json:"workload"`
	// Attempt is new for each start of the workload; a status carries it back.
	Attempt int       `json:"attempt"`
	Applied time.Time `json:"applied"`
	Placed  time.Time `json:"placed"`
}

// AgentStatus is a Status with the attempt it is about.
type AgentStatus struct {
	Status
	Attempt int `json:"attempt"`
}

// EncodeRecord returns the record as JSON.
func EncodeRecord(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the record types above always marshal
	}
	return b
}

// DecodeRecord reads a record of the given entry; a malformed one is ErrCorrupt and names the entry.
func DecodeRecord[T any](e Entry) (T, error) {
	var v T
	if err := json.Unmarshal(e.Value, &v); err != nil {
		return v, faas.Errorf("naming service", "decode", e.Name, faas.ErrCorrupt, "%w", err)
	}
	return v, nil
}

// Backoff is the launch backoff of Marathon: the delay before the n-th restart in
// a row is Initial*Factor^(n-1), at most Max. The zero value is 1 s, 1.15, 300 s.
type Backoff struct {
	Initial time.Duration
	Factor  float64
	Max     time.Duration
}

// Delay returns the delay before the n-th restart in a row; 0 for n <= 0.
func (b Backoff) Delay(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	if b.Initial <= 0 {
		b.Initial = time.Second
	}
	if b.Factor < 1 {
		b.Factor = 1.15
	}
	if b.Max <= 0 {
		b.Max = 300 * time.Second
	}
	d := float64(b.Initial) * math.Pow(b.Factor, float64(n-1))
	if !(d < float64(b.Max)) {
		return b.Max
	}
	return time.Duration(d)
}
