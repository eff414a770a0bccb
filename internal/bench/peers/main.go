// Command peers measures other workflow engines beside ours, in one program and at the
// same durability, and prints its figures as JSON. It is a module and a workspace of its
// own, so that what they need stays out of everything else; internal/bench builds and runs it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/joinery/faas/internal/bench/flow"
	"github.com/joinery/faas/internal/bench/loop"
	"github.com/joinery/faas/internal/figure"
)

const (
	rounds  = 3
	slice   = time.Second
	clients = 64
	ours    = "joinery"
)

// engine is what is measured, and ended afterwards.
type engine interface {
	flow.Engine
	io.Closer
}

// contender is an engine and how it is measured.
type contender struct {
	name   string
	engine engine
	// peer: ours is compared with it.
	peer bool
	// slow engines are measured in one round, and with fewer clients for the wide tree, whose runs take
	// seconds each: more of them wait longer, at the same rate.
	slow bool
}

func main() {
	figures, err := run()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(figures)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "workflow-peers:", err)
		os.Exit(1)
	}
}

func run() (_ []figure.Figure, err error) {
	dir, err := os.MkdirTemp("", "joinery-peers")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	pg, err := startPostgres(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "workflow-peers: without DBOS on Postgres:", err)
	} else {
		defer func() { err = errors.Join(err, pg.Close()) }()
	}
	var all []contender
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.engine.Close())
		}
	}()
	for _, c := range []struct {
		contender
		open func() (engine, error)
	}{
		{contender{name: "base-journal"}, func() (engine, error) { return flow.OpenJournalEngine(dir) }},
		{contender{name: ours}, func() (engine, error) { return openOurs(dir) }},
		{contender{name: "dbos-sqlite", peer: true}, func() (engine, error) { return dbosSQLite(dir) }},
		{contender{name: "dbos-postgres", peer: true}, func() (engine, error) { return dbosPostgres(pg.url) }},
		{contender{name: "temporal-sqlite", peer: true, slow: true}, func() (engine, error) { return startTemporal(dir) }},
	} {
		if c.name == "dbos-postgres" && pg == nil {
			continue
		}
		if c.engine, err = c.open(); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, c.contender)
	}
	return measure(all)
}

// product is our engine with its durable store, running Go functions as the peers do.
type product struct {
	flow.Engine
	io.Closer
}

func openOurs(dir string) (engine, error) {
	o, err := flow.OpenOurs(dir)
	if err != nil {
		return nil, err
	}
	return product{o.Standard(), o}, nil
}

// measure interleaves the engines in rounds and returns the medians.
func measure(all []contender) ([]figure.Figure, error) {
	var figures []figure.Figure
	for _, tree := range flow.Trees() {
		rates := map[string][]float64{}
		for round := range rounds {
			for _, c := range all {
				n := clients
				if c.slow && round != rounds/2 {
					continue
				}
				if c.slow && tree.Parallel {
					n /= 4
				}
				load, err := flow.Measure(c.engine, tree, n, slice)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", c.name, err)
				}
				rates[c.name] = append(rates[c.name], load.Rate)
			}
		}
		best := 0.0
		for _, c := range all {
			rate := loop.Median(rates[c.name])
			figures = append(figures, figure.Figure{Name: "workflow-peers-" + tree.Name + "-" + c.name, Value: rate, Unit: "workflows/s"})
			if c.peer {
				best = max(best, rate)
			}
		}
		figures = append(figures, figure.Figure{
			Name: "workflow-peers-" + tree.Name + "-ratio", Value: loop.Median(rates[ours]) / best,
			Unit: "x-of-the-best-peer", Op: ">=", Bound: 10,
		})
	}
	return figures, nil
}
