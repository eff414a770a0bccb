package workflow

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/joinery/faas"
)

// ExecutionRef names an execution: "namespace/id#run".
type ExecutionRef struct {
	// Namespace is that of its workflow. Empty: faas.DefaultNamespace.
	Namespace string `json:"namespace,omitempty"`
	// ID is chosen by whoever starts it.
	ID string `json:"id"`
	// Run counts the executions that have had this ID, from 1. Zero: the latest.
	Run uint64 `json:"run,omitempty"`
}

// MaxExecutionID is the longest execution ID in bytes.
const MaxExecutionID = 255

// WithDefaults fills in the namespace.
func (r ExecutionRef) WithDefaults() ExecutionRef {
	if r.Namespace == "" {
		r.Namespace = faas.DefaultNamespace
	}
	return r
}

// String is "namespace/id", with "#run" unless the run is 0.
func (r ExecutionRef) String() string {
	s := r.WithDefaults().Namespace + "/" + r.ID
	if r.Run != 0 {
		s += "#" + strconv.FormatUint(r.Run, 10)
	}
	return s
}

// Key is the idempotency key of a step: "namespace/id#run/step".
func (r ExecutionRef) Key(step string) string { return r.String() + "/" + step }

// ParseExecutionRef reads "[namespace/]id[#run]". ErrInvalidArgument names the part and the rule.
func ParseExecutionRef(s string) (ExecutionRef, error) {
	var r ExecutionRef
	rest := s
	if ns, after, ok := strings.Cut(rest, "/"); ok {
		if err := faas.ValidateName("namespace", ns); err != nil {
			return ExecutionRef{}, err
		}
		r.Namespace, rest = ns, after
	}
	id, run, ok := strings.Cut(rest, "#")
	r.ID = id
	if ok {
		n, err := strconv.ParseUint(run, 10, 64)
		if err != nil || n == 0 {
			return ExecutionRef{}, faas.Errorf("workflow", "parse execution", "run", faas.ErrInvalidArgument, "%.40q is not a number from 1", run)
		}
		r.Run = n
	}
	r = r.WithDefaults()
	return r, r.Validate()
}

// Validate returns ErrInvalidArgument unless the namespace is a name and the ID is 1 to
// MaxExecutionID bytes of printable UTF-8 without '/' and '#'.
func (r ExecutionRef) Validate() error {
	if r.Namespace != "" {
		if err := faas.ValidateName("namespace", r.Namespace); err != nil {
			return err
		}
	}
	fail := func(rule string) error {
		return faas.Errorf("workflow", "validate", "execution id", faas.ErrInvalidArgument, "%.80q %s", r.ID, rule)
	}
	switch {
	case r.ID == "":
		return fail("is empty")
	case len(r.ID) > MaxExecutionID:
		return fail(fmt.Sprintf("is %d bytes long, more than %d", len(r.ID), MaxExecutionID))
	case !utf8.ValidString(r.ID):
		return fail("is not UTF-8")
	}
	for _, c := range r.ID {
		if c == '/' || c == '#' || !unicode.IsPrint(c) {
			return fail(fmt.Sprintf("has %q", c))
		}
	}
	return nil
}

// Status is where an execution stands.
type Status string

// The statuses. All but the first two are final, unless the execution is redriven.
const (
	StatusRunning    Status = "running"
	StatusSuspended  Status = "suspended"
	StatusSucceeded  Status = "succeeded"
	StatusFailed     Status = "failed"
	StatusCanceled   Status = "canceled"
	StatusTerminated Status = "terminated"
	StatusTimedOut   Status = "timed-out"
)

// Open reports whether the execution can still go on by itself.
func (s Status) Open() bool { return s == StatusRunning || s == StatusSuspended }

// Execution is an execution's record: what lists show.
type Execution struct {
	Ref ExecutionRef `json:"ref"`
	// Workflow is the definition it is pinned to, with its version; without one for an inline definition.
	Workflow faas.Ref `json:"workflow"`
	// Language is that of the definition.
	Language   string     `json:"language,omitempty"`
	Durability Durability `json:"durability,omitempty"`
	Status     Status     `json:"status"`
	// Started and Closed are the times of the first and the closing event.
	Started time.Time `json:"started"`
	Closed  time.Time `json:"closed,omitzero"`
	// Deadline is when it times out. Zero: never.
	Deadline time.Time `json:"deadline,omitzero"`
	// Keep is until when it is kept once closed.
	Keep time.Time `json:"keep,omitzero"`
	// Output is set once it has succeeded.
	Output Payload `json:"output,omitzero"`
	// Failure is set once it has ended in another way.
	Failure *Failure `json:"failure,omitempty"`
	// Attributes are its search attributes.
	Attributes map[string]string `json:"attributes,omitempty"`
	// Note is the Program's own word on where it stands.
	Note string `json:"note,omitempty"`
	// Parent is the execution whose step it is, if any.
	Parent *Parent `json:"parent,omitempty"`
	// Input is a digest of what it was started with: definition and input. A repeated start is told by it.
	Input faas.Digest `json:"input,omitempty"`
	// Logs counts the logs it has had: 1, and one more for each ExecutionContinued.
	Logs int `json:"logs,omitempty"`
}

// ExecutionQuery chooses what a list returns. All conditions must hold.
type ExecutionQuery struct {
	// Namespace, Workflow (its name) and ID restrict the list when not empty. With ID every run is listed.
	Namespace, Workflow, ID string
	// Statuses restricts the list when not empty.
	Statuses []Status
	// Attributes must all have these values.
	Attributes map[string]string
	// StartedFrom (inclusive) and StartedBefore (exclusive) bound the start when not zero.
	StartedFrom, StartedBefore time.Time
	// KeptUntil, when not zero, asks for closed executions whose Keep is not after it.
	KeptUntil time.Time
	// Limit is the size of a page, 1 to MaxPage. Zero: DefaultPage.
	Limit int
	// Token continues after a page, from its Next.
	Token string
}

// Matches reports whether x fulfils the conditions; Limit and Token aside.
func (q *ExecutionQuery) Matches(x *Execution) bool {
	switch {
	case q.Namespace != "" && x.Ref.Namespace != q.Namespace,
		q.Workflow != "" && x.Workflow.Name != q.Workflow,
		q.ID != "" && x.Ref.ID != q.ID,
		!q.StartedFrom.IsZero() && x.Started.Before(q.StartedFrom),
		!q.StartedBefore.IsZero() && !x.Started.Before(q.StartedBefore),
		!q.KeptUntil.IsZero() && (x.Status.Open() || x.Keep.After(q.KeptUntil)):
		return false
	}
	if len(q.Statuses) > 0 {
		found := false
		for _, s := range q.Statuses {
			found = found || s == x.Status
		}
		if !found {
			return false
		}
	}
	for k, v := range q.Attributes {
		if x.Attributes[k] != v {
			return false
		}
	}
	return true
}

// ExecutionPage is one part of a list, newest start first.
type ExecutionPage struct {
	Executions []Execution
	// Next is the token of the next page; empty at the end.
	Next string
}
