// Package figure prints measured values beside their goals, for the commands that
// measure: internal/bench and internal/fault.
package figure

import (
	"fmt"
	"io"
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
	// Op is ">=", "<=" or "=="; empty: a value without a goal.
	Op    string
	Bound float64
}

// String is the line `figure NAME VALUE UNIT goal OP BOUND ok|short`.
func (f Figure) String() string {
	line := fmt.Sprintf("figure %s %s %s", f.Name, number(f.Value), f.Unit)
	if f.Op == "" {
		return line
	}
	verdict := "short"
	if f.Met() {
		verdict = "ok"
	}
	return fmt.Sprintf("%s goal %s %s %s", line, f.Op, number(f.Bound), verdict)
}

// Met reports whether the goal is met; a figure without a goal is.
func (f Figure) Met() bool {
	switch f.Op {
	case ">=":
		return f.Value >= f.Bound
	case "<=":
		return f.Value <= f.Bound
	case "==":
		return f.Value == f.Bound
	}
	return true
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// Measurement is a named source of figures.
type Measurement struct {
	Name string
	// What it measures, in one line.
	What string
	Run  func() ([]Figure, error)
}

// Main runs the measurement that args name and returns the exit code: 0 whether goals
// are met or not, 1 when it could not measure, 2 for an unknown name. No name lists them all.
func Main(args []string, all []Measurement, out, errs io.Writer) int {
	if len(args) == 0 {
		for _, m := range all {
			fmt.Fprintf(out, "%-16s %s\n", m.Name, m.What)
		}
		return 0
	}
	i := slices.IndexFunc(all, func(m Measurement) bool { return m.Name == args[0] })
	if i < 0 {
		fmt.Fprintf(errs, "no measurement %q; run without a name for the list\n", args[0])
		return 2
	}
	fmt.Fprintf(out, "# %s: %s; %s, %d cores\n", all[i].Name, all[i].What, runtime.Version(), runtime.NumCPU())
	figures, err := all[i].Run()
	for _, f := range figures {
		fmt.Fprintln(out, f)
	}
	if err != nil {
		fmt.Fprintf(errs, "%s: %v\n", all[i].Name, err)
		return 1
	}
	return 0
}

// Run is Main over the process's arguments and output; it does not return.
func Run(all []Measurement) { os.Exit(Main(os.Args[1:], all, os.Stdout, os.Stderr)) }
