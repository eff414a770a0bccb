package orchestratortest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/recordtb"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/internal/mortal"
	"github.com/joinery/faas/orchestrator/memnaming"
)

// agentDouble is what a correct agent sees of the world; what a test overrides in it
// makes the agent break its promises.
type agentDouble struct {
	namingDouble
	driver.Driver
	start func(context.Context, driver.Task) (driver.Status, error)
	stop  func(context.Context, string, time.Duration) error
	tasks func(context.Context) ([]driver.Status, error)
	run   func(orchestrator.NodeAgent, context.Context) error
}

// doubleDriver is the driver as the agent sees it.
type doubleDriver struct {
	driver.Driver
	d *agentDouble
}

func (d doubleDriver) Start(ctx context.Context, t driver.Task) (driver.Status, error) {
	return d.d.start(ctx, t)
}
func (d doubleDriver) Stop(ctx context.Context, id string, grace time.Duration) error {
	return d.d.stop(ctx, id, grace)
}
func (d doubleDriver) List(ctx context.Context) ([]driver.Status, error) { return d.d.tasks(ctx) }

type doubleAgent struct {
	orchestrator.NodeAgent
	d *agentDouble
}

func (a doubleAgent) Run(ctx context.Context) error { return a.d.run(a.NodeAgent, ctx) }

func agentHarness(breakIt func(*agentDouble)) AgentHarness {
	return AgentHarness{InBubble: true,
		Naming: func(tb testing.TB) orchestrator.NamingService {
			s := memnaming.New(nil)
			tb.Cleanup(func() { s.Close() })
			return s
		},
		New: func(tb testing.TB, s AgentSetup) AgentFixture {
			mort, _ := s.Driver.(*mortal.Driver)
			if mort == nil {
				mem := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{"hello": faas.InvokerFunc(hello)}})
				tb.Cleanup(func() { mem.Close() })
				mort = mortal.New(mem)
			}
			n := s.Naming
			d := &agentDouble{namingDouble: namingDouble{n, n.Put, n.Get, n.List, n.Delete, n.Watch, n.Grant, n.Renew, n.Revoke},
				Driver: mort, start: mort.Start, stop: mort.Stop, tasks: mort.List, run: orchestrator.NodeAgent.Run}
			breakIt(d)
			a, err := cluster.NewAgent(cluster.AgentConfig{Naming: &d.namingDouble, Node: s.Node, LeaseTTL: s.LeaseTTL,
				LeaveRunning: s.LeaveRunning, Drivers: []driver.Driver{doubleDriver{mort, d}}})
			ok(tb, err, "new agent")
			return AgentFixture{Agent: doubleAgent{a, d}, Driver: mort, Kill: func(id string) { mort.Kill(id) }}
		},
		Workload: clusterHarness(func(*managerDouble) {}).Workload,
	}
}

func TestAgentKitPassesCluster(t *testing.T) {
	RunAgent(t, agentHarness(func(*agentDouble) {}))
}

func TestAgentKitFailsDoubles(t *testing.T) {
	clauses := agentClauses()
	for _, c := range clauses {
		if len(brokenAgents[c.name]) == 0 {
			t.Errorf("no double breaks %q", c.name)
		}
		for i, b := range brokenAgents[c.name] {
			synctest.Test(t, func(t *testing.T) {
				if r := recordtb.Run(t, func(tb testing.TB) { c.check(tb, agentHarness(b)) }); !r.Failed() {
					t.Errorf("%q passes its broken double %d", c.name, i)
				}
			})
		}
	}
	for name := range brokenAgents {
		if !slices.ContainsFunc(clauses, func(c clause[AgentHarness]) bool { return c.name == name }) {
			t.Errorf("a double breaks %q, which is no clause", name)
		}
	}
}

// puts changes what the agent puts under the prefix.
func puts(prefix string, change func(value *[]byte, o *orchestrator.PutOptions)) func(*agentDouble) {
	return func(d *agentDouble) {
		d.put = func(ctx context.Context, name string, value []byte, o *orchestrator.PutOptions) (orchestrator.Entry, error) {
			if strings.HasPrefix(name, prefix) {
				c := *o
				o = &c
				change(&value, o)
			}
			return d.NamingService.Put(ctx, name, value, o)
		}
	}
}

// reports changes what the agent reports.
func reports(change func(*orchestrator.AgentStatus)) func(*agentDouble) {
	return puts(orchestrator.StatusesPrefix, func(value *[]byte, _ *orchestrator.PutOptions) {
		st, err := orchestrator.DecodeRecord[orchestrator.AgentStatus](orchestrator.Entry{Value: *value})
		if err != nil {
			panic(err)
		}
		change(&st)
		*value = orchestrator.EncodeRecord(&st)
	})
}

func withoutLease(_ *[]byte, o *orchestrator.PutOptions) { o.Lease = 0 }

func neverStops(d *agentDouble) {
	d.stop = func(context.Context, string, time.Duration) error { return nil }
}

func internalErrors(st *orchestrator.AgentStatus) {
	if st.Error != nil {
		st.Error.Classes = []string{faas.ErrInternal.Error()}
	}
}

func listsNothing(d *agentDouble) {
	d.tasks = func(context.Context) ([]driver.Status, error) { return nil, nil }
}

// brokenAgents has, for each clause, doubles that break its promise.
var brokenAgents = map[string][]func(*agentDouble){
	"node/is announced under a lease, with its drivers": {puts(orchestrator.NodesPrefix, withoutLease),
		puts(orchestrator.NodesPrefix, func(value *[]byte, _ *orchestrator.PutOptions) { *value = []byte(`{"node":{"name":"n1"}}`) })},
	"node/stays announced for longer than the lease": {func(d *agentDouble) {
		d.renew = func(context.Context, orchestrator.LeaseID) error { return nil }
	}},
	"node/is withdrawn and its instances stopped when Run ends": {func(d *agentDouble) {
		d.revoke = func(context.Context, orchestrator.LeaseID) error { return nil }
	}, neverStops},
	"node/a second live agent of that name is refused": {func(d *agentDouble) {
		d.get = func(_ context.Context, name string) (orchestrator.Entry, error) {
			return orchestrator.Entry{}, faas.Errorf("test", "get", name, faas.ErrNotFound, "broken")
		}
		puts(orchestrator.NodesPrefix, func(_ *[]byte, o *orchestrator.PutOptions) { o.IfRevision = nil })(d)
	}},
	"node/an agent runs once": {func(d *agentDouble) {
		d.run = func(a orchestrator.NodeAgent, ctx context.Context) error {
			return as(a.Run(ctx), faas.ErrConflict, nil)
		}
	}},
	"work/what is assigned is started and reported": {puts(orchestrator.StatusesPrefix, withoutLease),
		reports(func(st *orchestrator.AgentStatus) { st.Started = time.Time{} }),
		reports(func(st *orchestrator.AgentStatus) { st.Attempt = 0 })},
	"work/what was assigned before is found": {func(d *agentDouble) {
		d.list = func(ctx context.Context, prefix string) ([]orchestrator.Entry, faas.Revision, error) {
			_, rev, err := d.NamingService.List(ctx, prefix)
			return nil, rev, err
		}
	}},
	"work/a failed start is reported with its class": {reports(internalErrors)},
	"work/a driver that is not there is reported":    {reports(internalErrors)},
	"work/an end is reported with its exit":          {reports(func(st *orchestrator.AgentStatus) { st.Exit = nil })},
	"work/Stop stops it and deletes its records": {neverStops, func(d *agentDouble) {
		d.delete = func(ctx context.Context, name string, o *orchestrator.DeleteOptions) error {
			if strings.HasPrefix(name, orchestrator.StatusesPrefix) {
				return nil
			}
			return d.NamingService.Delete(ctx, name, o)
		}
	}},
	"work/Stop calls off a start": {func(d *agentDouble) {
		d.start = func(ctx context.Context, t driver.Task) (driver.Status, error) {
			return d.Driver.Start(context.WithoutCancel(ctx), t)
		}
	}},
	"work/an assignment that is deleted stops it": {neverStops},
	"work/a new attempt replaces the one before":  {reports(func(st *orchestrator.AgentStatus) { st.Attempt = 2 })},
	"recovery/a successor adopts what was left running": {listsNothing, puts(orchestrator.NodesPrefix, func(value *[]byte, _ *orchestrator.PutOptions) {
		*value = []byte(strings.Replace(string(*value), `"vacant":true`, `"vacant":false`, 1))
	})},
	"recovery/a stray is stopped": {listsNothing},
	"recovery/the tasks of others are left alone": {func(d *agentDouble) {
		d.tasks = func(ctx context.Context) ([]driver.Status, error) {
			all, err := d.Driver.List(ctx)
			for i := range all {
				all[i].Labels = map[string]string{orchestrator.StartLabel: "n1/" + all[i].ID}
			}
			return all, err
		}
	}},
	"recovery/the start of an earlier incarnation is not done again": {func(d *agentDouble) {
		d.list = func(ctx context.Context, prefix string) ([]orchestrator.Entry, faas.Revision, error) {
			all, rev, err := d.NamingService.List(ctx, prefix)
			for i := range all {
				all[i].Value = []byte(strings.Replace(string(all[i].Value), `"one before"`, `""`, 1))
			}
			return all, rev, err
		}
	}},
	"lease/what is still assigned survives its loss": {func(d *agentDouble) {
		granted := false
		d.grant = func(ctx context.Context, ttl time.Duration) (orchestrator.LeaseID, error) {
			if granted {
				return 0, faas.Errorf("test", "grant", "", faas.ErrUnavailable, "broken")
			}
			granted = true
			return d.NamingService.Grant(ctx, ttl)
		}
	}},
	"lease/what is not assigned any more is dropped": {neverStops},
}
