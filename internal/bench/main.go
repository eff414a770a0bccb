// Command bench measures the product beside a baseline in the same run, so that
// its figures are ratios that hold on a noisy machine.
//
//	go run ./internal/bench          lists the measurements
//	go run ./internal/bench NAME     takes one of them, in at most 50 s
//
// It prints one line for each figure and exits 0 whether the goals are met or not:
//
//	figure NAME VALUE UNIT goal OP BOUND ok|short
package main

import "github.com/joinery/faas/internal/figure"

// Figure is one measured value and its goal.
type Figure = figure.Figure

func main() {
	if runChild() {
		return
	}
	figure.Run([]figure.Measurement{})
}
