package orchestrator

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/joinery/faas"
)

// The records that resource managers and node agents of this layer exchange, as
// JSON under these names. All are under one root, so that one watch sees their changes
// in order, and the rest of the naming service is the embedder's own.
//
//	orchestrator/manager                     under a lease: the manager that decides; others stand by
//	orchestrator/nodes/<node>                NodeRecord, by the agent, under a lease: without it the node is lost
//	orchestrator/drains/<node>               by the manager: present while the node is draining
//	orchestrator/workloads/<id>              WorkloadRecord, by the manager: desired state and how far it is
//	orchestrator/assignments/<node>/<id>     Assignment, by the manager: what the node is to run
//	orchestrator/statuses/<node>/<id>        AgentStatus, by the agent, under its lease: observed state
//
// The life of an assignment: the manager writes it; the agent executes it; the
// manager sets Stop; the agent stops the instance and, when nothing is left of it, deletes
// status and assignment. The manager deletes the assignments of a lost node itself,
// and an agent whose assignment is gone stops the instance.
const (
	RecordsPrefix     = "orchestrator/"
	ManagerName       = RecordsPrefix + "manager"
	NodesPrefix       = RecordsPrefix + "nodes/"
	DrainsPrefix      = RecordsPrefix + "drains/"
	WorkloadsPrefix   = RecordsPrefix + "workloads/"
	AssignmentsPrefix = RecordsPrefix + "assignments/"
	StatusesPrefix    = RecordsPrefix + "statuses/"
)

// StartLabel is the label under which an agent gives the driver the start that a
// task belongs to (Assignment.Start), so that it knows its own tasks again.
const StartLabel = "joinery/start"

// NodeRecord is a node's announcement.
type NodeRecord struct {
	Node Node `json:"node"`
	// Incarnation is new for each run of an agent, so that a restart is seen.
	Incarnation string `json:"incarnation"`
	// TTL is that of the lease: who finds the name taken knows how long to wait.
	TTL time.Duration `json:"ttl"`
	// Vacant: the agent has ended and left its instances running. Until the lease expires
	// an agent of the same name may take over and adopt them.
	Vacant bool `json:"vacant,omitempty"`
}

// WorkloadRecord is the desired state of one workload and what must be known to go on
// with it after any crash.
type WorkloadRecord struct {
	Workload Workload  `json:"workload"`
	Applied  time.Time `json:"applied"`
	// Removed: it is no longer wanted.
	Removed bool `json:"removed,omitempty"`
	// Attempt numbers the start that is wanted, from 0. Assignments of other attempts are obsolete.
	Attempt int `json:"attempt,omitempty"`
	// Failures counts the starts in a row that ended badly, for the Backoff.
	Failures int `json:"failures,omitempty"`
	// NotBefore is when the attempt may be placed; zero: at once.
	NotBefore time.Time `json:"notBefore,omitzero"`
	// Reason says what ended the attempt before.
	Reason string `json:"reason,omitempty"`
	// Ended is the final status of a workload that will not be started again.
	Ended *Status `json:"ended,omitempty"`
}

// Assignment is the decision that a node is to run a workload.
type Assignment struct {
	Workload Workload `json:"workload"`
	// Attempt is that of the WorkloadRecord; a status carries it back.
	Attempt int       `json:"attempt"`
	Applied time.Time `json:"applied"`
	Placed  time.Time `json:"placed"`
	// Reason is why this node was chosen.
	Reason string `json:"reason,omitempty"`
	// Incarnation is that of the node it was decided for. A later one may adopt the
	// instance, but must not start it anew: it reports ExitLost, unless it took the node over
	// while it was vacant and its predecessor had not reported this start. Empty: any.
	Incarnation string `json:"incarnation,omitempty"`
	// Stop: the instance is to be stopped with its grace, then status and assignment deleted.
	Stop bool `json:"stop,omitempty"`
}

// Start identifies one start of one workload on one node for ever.
func (a *Assignment) Start(node string) string {
	return node + "/" + a.Workload.ID + "/" + strconv.FormatInt(a.Applied.UnixNano(), 36) + "/" + strconv.Itoa(a.Attempt)
}

// AgentStatus is a Status with the attempt it is about.
type AgentStatus struct {
	Status
	Attempt int `json:"attempt"`
	// Ended is when the end was seen. Zero: it has not ended.
	Ended time.Time `json:"ended,omitzero"`
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
