package orchestratortest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

// AgentHarness is how the kit reaches a node agent (R4) that works by the records of
// package orchestrator. The kit takes the manager's part itself.
type AgentHarness struct {
	// Naming returns an empty naming service, and closes it by tb.Cleanup. Required.
	Naming func(tb testing.TB) orchestrator.NamingService
	// New returns an agent that does not run yet. Required.
	New func(tb testing.TB, s AgentSetup) AgentFixture
	// Workload returns a workload that behaves so on the fixture's driver; the kit sets its ID
	// and Grace. Required.
	Workload func(tb testing.TB, b Behaviour) orchestrator.Workload
	// LeaseTTL is that of the agents: short, but long enough to be renewed safely. Zero: 1 s.
	LeaseTTL time.Duration
	// InBubble runs each clause in a bubble of testing/synctest, where waiting costs no time.
	InBubble bool
	// Skip names subtests that the implementation does not pass, each with the reason.
	Skip map[string]string
}

// AgentSetup is what a clause needs of an agent.
type AgentSetup struct {
	Naming       orchestrator.NamingService
	Node         orchestrator.Node
	LeaseTTL     time.Duration
	LeaveRunning bool
	// Driver, when not nil, is the driver of an earlier fixture. The agent does not close it.
	Driver driver.Driver
}

// AgentFixture is one agent under test.
type AgentFixture struct {
	Agent orchestrator.NodeAgent
	// Driver is what it starts instances with. Closed by tb.Cleanup.
	Driver driver.Driver
	// Kill ends an instance by itself, as kill -9 would. Nil: not possible.
	Kill func(id string)
}

type agentClause struct {
	name  string
	check func(*agentRun)
}

func agentClauses() []clause[AgentHarness] {
	var all []clause[AgentHarness]
	for _, c := range slices.Concat(agentNodeClauses(), agentWorkClauses(), agentRecoveryClauses()) {
		all = append(all, clause[AgentHarness]{c.name, func(tb testing.TB, h AgentHarness) {
			if h.LeaseTTL == 0 {
				h.LeaseTTL = time.Second
			}
			c.check(&agentRun{TB: tb, h: h, names: h.Naming(tb), ctx: tb.Context()})
		}})
	}
	return all
}

// RunAgent checks every clause of the contract of a node agent, each on a naming service of its own.
func RunAgent(t *testing.T, h AgentHarness) {
	if h.Naming == nil || h.New == nil || h.Workload == nil {
		t.Fatal("orchestratortest: AgentHarness.Naming, New and Workload are required")
	}
	runClauses(t, h, h.InBubble, h.Skip, agentClauses())
}

// agentRun is one clause on its way.
type agentRun struct {
	testing.TB
	h     AgentHarness
	names orchestrator.NamingService
	ctx   context.Context
}

// agent is an agent that runs.
type agent struct {
	AgentFixture
	end   context.CancelFunc
	ended chan error
}

const nodeName = orchestrator.NodesPrefix + "n1"

func (r *agentRun) newAgent(s AgentSetup) AgentFixture {
	s.Naming, s.LeaseTTL = r.names, r.h.LeaseTTL
	s.Node = orchestrator.Node{Name: "n1", Capacity: faas.Resources{MilliCPU: 2000}, Labels: map[string]string{"zone": "a"}}
	return r.h.New(r, s)
}

// start runs an agent of the node n1 and waits until it is announced.
func (r *agentRun) start(s AgentSetup) *agent {
	r.Helper()
	a := &agent{AgentFixture: r.newAgent(s), ended: make(chan error, 1)}
	var before orchestrator.Entry
	before, _ = r.names.Get(r.ctx, nodeName)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	a.end = cancel
	over := make(chan struct{})
	go func() {
		defer close(over)
		a.ended <- a.Agent.Run(ctx)
	}()
	r.Cleanup(func() { cancel(); <-over })
	r.await(nodeName, "announced", func(e *orchestrator.Entry) bool { return e != nil && e.Revision != before.Revision })
	return a
}

// stop ends the agent and returns what Run returned.
func (r *agentRun) stop(a *agent) error {
	r.Helper()
	a.end()
	select {
	case err := <-a.ended:
		return err
	case <-time.After(patience):
		r.Fatal("Run goes on after its context has ended")
		return nil
	}
}

// await waits until the name is as wanted; nil stands for a name that does not exist.
func (r *agentRun) await(name, what string, ok func(*orchestrator.Entry) bool) *orchestrator.Entry {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	for {
		all, rev, err := r.names.List(ctx, name)
		if err != nil {
			r.Fatalf("%s is not %s: %v", name, what, err)
		}
		var found *orchestrator.Entry
		for i := range all {
			if all[i].Name == name {
				found = &all[i]
			}
		}
		if ok(found) {
			return found
		}
		for _, err := range r.names.Watch(ctx, name, rev) {
			if err != nil && ctx.Err() != nil {
				value := "missing"
				if found != nil {
					value = string(found.Value)
				}
				r.Fatalf("%s is not %s within %v; it is %s", name, what, patience, value)
			}
			break
		}
	}
}

func absent(e *orchestrator.Entry) bool { return e == nil }

// put writes a record.
func (r *agentRun) put(name string, record any) {
	r.Helper()
	_, err := r.names.Put(r.ctx, name, orchestrator.EncodeRecord(record), nil)
	ok(r, err, "put "+name)
}

// assign assigns a workload of that behaviour to the node.
func (r *agentRun) assign(id string, b Behaviour) orchestrator.Assignment {
	r.Helper()
	w := r.h.Workload(r, b)
	w.ID = id
	as := orchestrator.Assignment{Workload: w, Attempt: 2, Applied: time.Now().UTC().Round(0), Placed: time.Now().UTC().Round(0)}
	if e, err := r.names.Get(r.ctx, nodeName); err == nil {
		rec, err := orchestrator.DecodeRecord[orchestrator.NodeRecord](e)
		ok(r, err, "decode")
		as.Incarnation = rec.Incarnation
	}
	r.put(assignmentOf(id), &as)
	return as
}

func assignmentOf(id string) string { return orchestrator.AssignmentsPrefix + "n1/" + id }
func statusOf(id string) string     { return orchestrator.StatusesPrefix + "n1/" + id }

// reported waits until the agent reports the phase.
func (r *agentRun) reported(id string, p orchestrator.Phase) (orchestrator.AgentStatus, *orchestrator.Entry) {
	r.Helper()
	var st orchestrator.AgentStatus
	e := r.await(statusOf(id), string(p), func(e *orchestrator.Entry) bool {
		if e == nil {
			return false
		}
		var err error
		st, err = orchestrator.DecodeRecord[orchestrator.AgentStatus](*e)
		ok(r, err, "decode")
		return st.Phase == p
	})
	return st, e
}

// has returns what the driver has by ID.
func (r *agentRun) has(d driver.Driver) map[string]driver.Status {
	r.Helper()
	all, err := d.List(r.ctx)
	ok(r, err, "list")
	by := map[string]driver.Status{}
	for _, st := range all {
		by[st.ID] = st
	}
	return by
}

// forgotten waits until the driver does not have the task any more. It asks again and
// again, because a watch that begins after the end yields nothing.
func (r *agentRun) forgotten(d driver.Driver, id string) {
	r.Helper()
	for late := time.After(patience); ; {
		st, there := r.has(d)[id]
		if !there {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-late:
			r.Fatalf("the driver still has %+v after %v", st, patience)
		}
	}
}
