package workloaddeployer

import (
	"cmp"
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

const (
	// offersAge is how long the drivers that nodes offer are remembered. A choice that
	// finds none asks again at once, and the scheduler judges by what is true.
	offersAge = time.Second
	// nodeWait is how long a cluster that has just begun may be without any node.
	nodeWait  = time.Second
	nodeEvery = 10 * time.Millisecond
)

// offers are the distinct drivers of all nodes, in the order of their names.
type offers struct {
	at      time.Time
	drivers []driver.Info
	nodes   int
}

// choice is the driver that was chosen, and what is said of every other one.
type choice struct {
	driver    string
	isolation faas.Isolation
	rejected  []string
}

// Decide implements deployer.Decider.
func (d *Deployer) Decide(ctx context.Context, fn faas.Function, o *deployer.Options) (deployer.Decision, error) {
	const op = "decide"
	spec, err := d.combine(op, fn, o)
	if err != nil {
		return deployer.Decision{}, err
	}
	c, err := d.choose(ctx, op, fn.Ref.String(), &spec)
	if err != nil {
		return deployer.Decision{}, err
	}
	return deployer.Decision{
		Driver: c.driver, Contract: spec.Contract, Requests: spec.Requests, Limits: spec.Limits,
		Isolation: c.isolation, Reasons: d.reasons(fn, o, &spec, c),
	}, nil
}

// combine returns the function's configuration with the requester's options and the
// deployer's defaults applied, and valid.
func (d *Deployer) combine(op string, fn faas.Function, o *deployer.Options) (faas.Spec, error) {
	key := fn.Ref.String()
	select {
	case <-d.closing:
		return faas.Spec{}, closedError(op, key)
	default:
	}
	if o == nil {
		o = &deployer.Options{}
	}
	spec := fn.Spec
	spec.Driver = cmp.Or(o.Driver, spec.Driver)
	spec.Env = overlay(spec.Env, o.Env)
	spec.Labels = overlay(spec.Labels, o.Labels)
	spec.Requests = first(o.Requests, spec.Requests, d.cfg.Defaults.Requests)
	spec.Limits = first(o.Limits, spec.Limits, d.cfg.Defaults.Limits)
	spec.Isolation = max(o.Isolation, spec.Isolation)
	spec.Constraints = slices.Concat(spec.Constraints, o.Constraints)
	spec.StartTimeout = cmp.Or(spec.StartTimeout, d.cfg.Defaults.StartTimeout)
	spec.Grace = cmp.Or(spec.Grace, d.cfg.Defaults.Grace)
	errs := []error{fn.Ref.Validate(), spec.Validate(), orchestrator.ValidateConstraints(spec.Constraints)}
	if o.Isolation < faas.IsolationNone {
		errs = append(errs, failf(op, "options.isolation", faas.ErrInvalidArgument, "%d is not a level", int(o.Isolation)))
	}
	if spec.Driver != "" {
		errs = append(errs, faas.ValidateName("driver", spec.Driver))
	}
	if err := errors.Join(errs...); err != nil {
		return faas.Spec{}, failed(op, key, err)
	}
	return spec, nil
}

func overlay(base, over map[string]string) map[string]string {
	if len(over) == 0 {
		return base
	}
	m := make(map[string]string, len(base)+len(over))
	maps.Copy(m, base)
	maps.Copy(m, over)
	return m
}

// first takes each field from the first that sets it.
func first(rs ...faas.Resources) (sum faas.Resources) {
	for _, r := range rs {
		sum.MilliCPU = cmp.Or(sum.MilliCPU, r.MilliCPU)
		sum.Memory = cmp.Or(sum.Memory, r.Memory)
		sum.Pids = cmp.Or(sum.Pids, r.Pids)
		sum.Files = cmp.Or(sum.Files, r.Files)
		sum.FileSize = cmp.Or(sum.FileSize, r.FileSize)
	}
	return sum
}

// choose takes a driver for the function among those that nodes offer.
func (d *Deployer) choose(ctx context.Context, op, key string, spec *faas.Spec) (choice, error) {
	if ctx.Err() != nil {
		return choice{}, faas.ContextError(ctx, component, op, key)
	}
	known := d.offers.Load()
	if known != nil && time.Since(known.at) < offersAge {
		if c := pick(known.drivers, spec); c.driver != "" {
			return c, nil
		}
	}
	known, err := d.ask(ctx)
	if err != nil {
		return choice{}, failed(op, key, err)
	}
	if known.nodes == 0 {
		err := failf(op, key, faas.ErrUnavailable, "no node has joined the cluster")
		err.Next = "run a node agent"
		return choice{}, err
	}
	c := pick(known.drivers, spec)
	if c.driver == "" {
		if len(c.rejected) == 0 {
			c.rejected = []string{"no node offers any driver"}
		}
		err := failf(op, key, faas.ErrUnimplemented, "%s", strings.Join(c.rejected, "; "))
		err.Next = "ask for less, or run a node agent with a driver that offers it"
		return choice{}, err
	}
	return c, nil
}

// ask asks the resource manager for the nodes, and again for a moment while there is none.
func (d *Deployer) ask(ctx context.Context) (*offers, error) {
	wait, cancel := context.WithTimeout(ctx, nodeWait)
	defer cancel()
	for {
		nodes, err := d.cfg.Resources.Nodes(ctx)
		if err != nil {
			return nil, err
		}
		known := &offers{at: time.Now(), nodes: len(nodes)}
		for _, n := range nodes {
			for _, info := range n.Drivers {
				same := func(o driver.Info) bool {
					return o.Name == info.Name && o.Isolation == info.Isolation && o.NeedsCode == info.NeedsCode && o.Images == info.Images &&
						o.Limits == info.Limits && slices.Equal(o.Contracts, info.Contracts)
				}
				if !slices.ContainsFunc(known.drivers, same) {
					known.drivers = append(known.drivers, info)
				}
			}
		}
		slices.SortStableFunc(known.drivers, func(a, b driver.Info) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Isolation, b.Isolation))
		})
		if known.nodes > 0 {
			d.offers.Store(known)
			return known, nil
		}
		select {
		case <-wait.Done():
			return known, nil
		case <-time.After(nodeEvery):
		}
	}
}

// pick returns the driver that isolates the least of those that will do, and why not each other.
func pick(drivers []driver.Info, spec *faas.Spec) choice {
	need := orchestrator.Workload{Contract: spec.Contract, Image: spec.Image, Limits: spec.Limits, Isolation: spec.Isolation}
	best := -1
	lacks := make([]string, len(drivers))
	for i := range drivers {
		info := &drivers[i]
		switch {
		case spec.Driver != "" && info.Name != spec.Driver:
			lacks[i] = fmt.Sprintf("%q is not the one asked for, %q", info.Name, spec.Driver)
		case spec.Code != "" && !info.NeedsCode:
			lacks[i] = fmt.Sprintf("%q does not run code, it runs what is built in", info.Name)
		default:
			lacks[i] = orchestrator.Lacks(info, &need)
		}
		if lacks[i] == "" && (best < 0 || info.Isolation < drivers[best].Isolation) {
			best = i
		}
	}
	var c choice
	if best >= 0 {
		c.driver, c.isolation = drivers[best].Name, drivers[best].Isolation
	}
	for i := range drivers {
		switch {
		case lacks[i] != "":
			c.rejected = append(c.rejected, "driver "+lacks[i])
		case drivers[i].Name != c.driver:
			c.rejected = append(c.rejected, fmt.Sprintf("driver %q would do, but isolates at %v, not less than %q", drivers[i].Name, drivers[i].Isolation, c.driver))
		}
	}
	if len(drivers) > 0 && spec.Driver != "" && !slices.ContainsFunc(drivers, func(i driver.Info) bool { return i.Name == spec.Driver }) {
		c.rejected = append(c.rejected, fmt.Sprintf("no node offers the driver %q that is asked for", spec.Driver))
	}
	return c
}

// reasons explains a decision, one sentence each.
func (d *Deployer) reasons(fn faas.Function, o *deployer.Options, spec *faas.Spec, c choice) []string {
	if o == nil {
		o = &deployer.Options{}
	}
	why := fmt.Sprintf("driver %q: it offers the contract %q and isolates at %v, the least of those that will do", c.driver, spec.Contract, c.isolation)
	switch spec.Driver {
	case "":
	case o.Driver:
		why = fmt.Sprintf("driver %q: asked for by the requester", c.driver)
	default:
		why = fmt.Sprintf("driver %q: asked for by the function", c.driver)
	}
	reasons := append([]string{why}, c.rejected...)
	by := func(asked, published int64) string {
		switch {
		case asked != 0:
			return "by the requester"
		case published != 0:
			return "by the function"
		}
		return "by default"
	}
	each := func(what string, asked, published, decided faas.Resources) {
		for _, f := range [...]struct {
			name                      string
			asked, published, decided int64
		}{
			{"milliCPU", asked.MilliCPU, published.MilliCPU, decided.MilliCPU},
			{"memory", asked.Memory, published.Memory, decided.Memory},
			{"pids", asked.Pids, published.Pids, decided.Pids},
			{"files", asked.Files, published.Files, decided.Files},
			{"fileSize", asked.FileSize, published.FileSize, decided.FileSize},
		} {
			if f.decided != 0 {
				reasons = append(reasons, fmt.Sprintf("%s.%s %d: %s", what, f.name, f.decided, by(f.asked, f.published)))
			}
		}
	}
	each("requests", o.Requests, fn.Spec.Requests, spec.Requests)
	each("limits", o.Limits, fn.Spec.Limits, spec.Limits)
	if spec.Isolation > faas.IsolationNone {
		who := "the function"
		if o.Isolation > fn.Spec.Isolation {
			who = "the requester"
		}
		reasons = append(reasons, fmt.Sprintf("isolation at least %v: asked for by %s", spec.Isolation, who))
	}
	return reasons
}

// workload is what the resource manager is to run.
func workload(id string, ref faas.Ref, spec *faas.Spec, driverName string) orchestrator.Workload {
	revision := ref.Name
	if ref.Version != "" {
		revision += "-" + ref.Version
	}
	return orchestrator.Workload{
		ID: id, Group: ref.String(), Driver: driverName,
		Contract: spec.Contract, Image: spec.Image, Command: spec.Command, Code: spec.Code,
		Env:    overlay(spec.Env, map[string]string{"K_SERVICE": ref.Name, "K_CONFIGURATION": ref.Name, "K_REVISION": revision}),
		Limits: spec.Limits, Requests: spec.Requests, Isolation: spec.Isolation,
		StartTimeout: spec.StartTimeout, Concurrency: spec.Concurrency,
		Constraints: spec.Constraints, Labels: spec.Labels, Grace: spec.Grace,
	}
}

// sortable is base32 whose order is that of the bytes, in the letters of a name.
var sortable = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// workloadID returns a name that is unique and, for one function, in the order of time.
func workloadID(name string) string {
	id := uuid.Must(uuid.NewV7())
	const most = faas.MaxNameLen - 1 - 26 // 26 digits of base32 for 16 bytes
	if len(name) > most {
		name = strings.TrimRight(name[:most], "-")
	}
	return name + "-" + sortable.EncodeToString(id[:])
}
