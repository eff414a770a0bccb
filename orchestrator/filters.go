package orchestrator

import (
	"fmt"

	"github.com/joinery/faas/orchestrator/driver"
)

// StandardFilters returns what every scheduler must observe: a node that drains takes
// nothing, the node's driver must offer what the workload needs, its requests must
// fit, and its constraints must hold.
func StandardFilters() []Filter {
	return []Filter{
		{Name: "draining", Prepare: notDraining},
		{Name: "driver", Prepare: offersDriver},
		{Name: "capacity", Prepare: hasRoom},
		{Name: "constraint", Prepare: meetsConstraints},
	}
}

func notDraining(p *Problem) (func(int) string, error) {
	return func(node int) string {
		if p.Nodes[node].Draining {
			return "the node takes no new work"
		}
		return ""
	}, nil
}

func offersDriver(p *Problem) (func(int) string, error) {
	return func(node int) string {
		drivers := p.Nodes[node].Drivers
		for i := range drivers {
			if drivers[i].Name == p.Workload.Driver {
				return Lacks(&drivers[i], p.Workload)
			}
		}
		return fmt.Sprintf("%q is not offered", p.Workload.Driver)
	}, nil
}

// Lacks says what the driver does not offer of what the workload needs of it: its
// contract, to run its image, its isolation, or the enforcement of one of its limits; "" if nothing.
func Lacks(d *driver.Info, w *Workload) string {
	switch missing := d.Limits.Missing(w.Limits); {
	case !d.Offers(w.Contract):
		return fmt.Sprintf("%q does not offer the contract %q, only %q", d.Name, w.Contract, d.Contracts)
	case w.Image != "" && !d.Images:
		return fmt.Sprintf("%q does not run images", d.Name)
	case d.Isolation < w.Isolation:
		return fmt.Sprintf("%q isolates at %v, less than %v", d.Name, d.Isolation, w.Isolation)
	case missing != "":
		return fmt.Sprintf("%q cannot enforce limits.%s", d.Name, missing)
	}
	return ""
}

func hasRoom(p *Problem) (func(int) string, error) {
	return func(node int) string {
		_, why := Fits(p.Workload.Requests, &p.Nodes[node])
		return why
	}, nil
}

// Allocated is the share of the node's capacity that would be set aside with the
// request placed on it: that of the resource with the greatest share, the dominant one
// (Ghodsi et al., Dominant Resource Fairness, NSDI 2011). Resources without a bound count as 0.
func Allocated(n *NodeState, w *Workload) float64 {
	share := func(request, used, capacity int64) float64 {
		if capacity <= 0 {
			return 0
		}
		return (float64(used) + float64(request)) / float64(capacity)
	}
	return max(
		share(w.Requests.MilliCPU, n.Used.MilliCPU, n.Capacity.MilliCPU),
		share(w.Requests.Memory, n.Used.Memory, n.Capacity.Memory),
		share(w.Requests.Pids, n.Used.Pids, n.Capacity.Pids),
	)
}
