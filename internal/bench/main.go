// Command bench measures the product beside a baseline in the same run, so that
// its figures are ratios that hold on a noisy machine.
//
//	go run ./internal/bench          lists the figures
//	go run ./internal/bench NAME     measures one of them, in at most 50 s
//
// It prints one line for each figure and exits 0 whether the goals are met or not:
//
//	figure NAME VALUE UNIT goal OP BOUND ok|short
package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
)

// Figure is one measured value and its goal.
type Figure struct {
	Name  string
	Value float64
	Unit  string
	// Op is ">=" or "<="; empty: a value without a goal.
	Op    string
	Bound float64
}

func (f Figure) String() string {
	line := fmt.Sprintf("figure %s %s %s", f.Name, number(f.Value), f.Unit)
	if f.Op == "" {
		return line
	}
	verdict := "short"
	if f.Op == ">=" && f.Value >= f.Bound || f.Op == "<=" && f.Value <= f.Bound {
		verdict = "ok"
	}
	return fmt.Sprintf("%s goal %s %s %s", line, f.Op, number(f.Bound), verdict)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// suite is a named measurement.
type suite struct {
	name, what string
	run        func() ([]Figure, error)
}

func suites() []suite {
	return []suite{}
}

func main() {
	if runChild() {
		return
	}
	all := suites()
	if len(os.Args) != 2 {
		for _, s := range all {
			fmt.Printf("%-14s %s\n", s.name, s.what)
		}
		return
	}
	i := slices.IndexFunc(all, func(s suite) bool { return s.name == os.Args[1] })
	if i < 0 {
		fmt.Fprintf(os.Stderr, "bench: no figure %q; run without a name for the list\n", os.Args[1])
		os.Exit(2)
	}
	fmt.Printf("# %s: %s; %s, %d cores\n", all[i].name, all[i].what, runtime.Version(), runtime.NumCPU())
	figures, err := all[i].run()
	for _, f := range figures {
		fmt.Println(f)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", all[i].name, err)
		os.Exit(1)
	}
}
