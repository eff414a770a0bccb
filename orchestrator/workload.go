package orchestrator

import (
	"errors"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Workload is the desired state of one instance of something. It is plain data
// and does not change once applied.
type Workload struct {
	// ID is unique within the cluster and valid by faas.ValidateName. Required.
	ID string `json:"id"`
	// Group ties together the instances of one function or application: placement
	// constraints and spreading look at the group.
	Group string `json:"group,omitempty"`
	// Driver is the name of the driver to start it with. Required.
	Driver string `json:"driver"`
	// Contract, Image, Command, Env, Limits, Isolation, StartTimeout and Concurrency go to the driver.
	Contract     faas.Contract     `json:"contract"`
	Image        string            `json:"image,omitempty"`
	Command      []string          `json:"command"`
	Env          map[string]string `json:"env,omitempty"`
	Limits       faas.Resources    `json:"limits,omitzero"`
	Isolation    faas.Isolation    `json:"isolation,omitempty"`
	StartTimeout time.Duration     `json:"startTimeout,omitempty"`
	Concurrency  int               `json:"concurrency,omitempty"`
	// Code is the digest of the archive the node agent fetches and unpacks. Empty: none.
	Code faas.Digest `json:"code,omitempty"`
	// Requests is set aside on the node.
	Requests faas.Resources `json:"requests,omitzero"`
	// Constraints restrict and steer the placement.
	Constraints []faas.Constraint `json:"constraints,omitempty"`
	// Labels are kept with the instance.
	Labels map[string]string `json:"labels,omitempty"`
	// Grace is the time between the polite and the forced end. Zero: faas.DefaultGrace.
	Grace time.Duration `json:"grace,omitempty"`
	// Restart: when the instance ends by itself, fails to start or loses its node, it is
	// placed and started again, with a launch backoff (see Backoff). False: its end is final.
	Restart bool `json:"restart,omitempty"`
}

// Validate checks every field and reports every fault at once; each is
// ErrInvalidArgument and names the field and the rule. Constraints are the scheduler's to judge.
func (w *Workload) Validate() error {
	spec := faas.Spec{Contract: w.Contract, Code: w.Code, Image: w.Image, Command: w.Command, Env: w.Env, Requests: w.Requests, Limits: w.Limits,
		Isolation: w.Isolation, Constraints: w.Constraints, Concurrency: w.Concurrency, StartTimeout: w.StartTimeout,
		Grace: w.Grace, Labels: w.Labels}
	err := spec.Validate()
	if len(w.Group) > maxGroupBytes {
		err = errors.Join(err, faas.Errorf("resource manager", "validate", "group", faas.ErrInvalidArgument, "is longer than %d bytes", maxGroupBytes))
	}
	return errors.Join(faas.ValidateName("id", w.ID), faas.ValidateName("driver", w.Driver), err)
}

const maxGroupBytes = 512

// Phase is where a workload stands.
type Phase string

// The phases.
const (
	// PhasePending: no node has it yet; Reason says why.
	PhasePending Phase = "pending"
	// PhaseStarting: a node is fetching its code and starting it.
	PhaseStarting Phase = "starting"
	// PhaseRunning: it serves at its endpoint.
	PhaseRunning Phase = "running"
	// PhaseStopping: it is being removed.
	PhaseStopping Phase = "stopping"
	// PhaseEnded: it ended or could not be started, and stays so; Exit or Error say why.
	// Known until Remove.
	PhaseEnded Phase = "ended"
	// PhaseGone: removed and forgotten. Seen only in Watch.
	PhaseGone Phase = "gone"
)

// Status is the observed state of one workload.
type Status struct {
	ID    string `json:"id"`
	Phase Phase  `json:"phase"`
	// Reason explains the phase to people: why it is pending, why this node was chosen, why it ended.
	Reason string `json:"reason,omitempty"`
	// Node is where it is placed.
	Node string `json:"node,omitempty"`
	// Endpoint is where it serves while it is running.
	Endpoint driver.Endpoint `json:"endpoint,omitzero"`
	// Exit is how it ended, when it had been running.
	Exit *driver.Exit `json:"exit,omitempty"`
	// Error is the failure when it could not be placed or started. While it is pending for lack
	// of capacity it is ErrExhausted.
	Error *Failure `json:"error,omitempty"`
	// Restarts counts how often it was started again.
	Restarts int `json:"restarts,omitempty"`
	// The moments of its current start: applied, bound to a node, given to the
	// driver, ready. Zero when not reached.
	Applied time.Time `json:"applied,omitzero"`
	Placed  time.Time `json:"placed,omitzero"`
	Started time.Time `json:"started,omitzero"`
	Ready   time.Time `json:"ready,omitzero"`
}

// Err returns why an ended workload ended, as a classed error; nil when it is not
// ended or was stopped on request.
func (s *Status) Err() error {
	switch {
	case s.Phase != PhaseEnded && s.Phase != PhaseGone:
		return nil
	case s.Error != nil:
		return s.Error
	}
	return s.Exit.Err(s.ID)
}
