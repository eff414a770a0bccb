package spread_test

import (
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/spread"
)

func ExampleNew() {
	mem := driver.Info{Name: "mem", Contracts: []faas.Contract{faas.ContractHandler}}
	node := func(name string, used int64) orchestrator.NodeState {
		return orchestrator.NodeState{
			Node: orchestrator.Node{Name: name, Capacity: faas.Resources{Memory: 1 << 30}, Drivers: []driver.Info{mem}},
			Used: faas.Resources{Memory: used},
		}
	}
	placement, err := spread.New().Place(
		orchestrator.Workload{ID: "i1", Driver: "mem", Contract: faas.ContractHandler},
		[]orchestrator.NodeState{node("a", 512<<20), node("b", 0)})
	fmt.Println(placement.Node, placement.Reason(), err)
	// Output:
	// b placed on b; a: score 0.25; b: score 0.5 <nil>
}
