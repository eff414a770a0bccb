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
	figure.Run([]figure.Measurement{
		{Name: "warm-memory", What: "a warm call to a handler, beside the least correct dispatcher", Run: warmMemory},
		{Name: "warm-process", What: "a warm call to a process, beside a bare net/http client", Run: warmProcess},
		{Name: "front", What: "calls through the HTTP front, beside httputil.ReverseProxy", Run: front},
		{Name: "cold-process", What: "a cold start of a process, beside the bare exec of the same program", Run: coldProcess},
		{Name: "plugin-control", What: "control calls to a driver in a plugin, beside bare gRPC over go-plugin", Run: pluginControl},
		{Name: "plugin-data", What: "warm calls to an instance that a plugin started, beside one of a driver in the process", Run: pluginData},
		{Name: "docker-cold", What: "a cold start with Docker behind a plugin, beside docker run of the same image", Run: dockerCold},
		{Name: "docker-pool", What: "the start of a paused container, beside docker run", Run: dockerPool},
		{Name: "docker-warm", What: "warm calls to a container, beside a bare net/http client", Run: dockerWarm},
		{Name: "herd", What: "1,000 calls at once to a cold function", Run: herd},
		{Name: "parked", What: "100,000 calls that wait in a queue", Run: parked},
		{Name: "idle", What: "10,000 registered functions that nobody calls", Run: idle},
		{Name: "workflow-express", What: "executions without durability, beside goroutines and channels", Run: workflowExpress},
		{Name: "workflow-standard", What: "durable executions, beside a journal on the same disk", Run: workflowStandard},
		{Name: "workflow-map", What: "a map of 10,000 items, beside ten of 1,000", Run: workflowMap},
		{Name: "workflow-recovery", What: "100,000 open executions, 200,000 events, a history of 100,000", Run: workflowRecovery},
		{Name: "workflow-scheduler", What: "executions by the learning scheduler, beside fifo, in virtual time", Run: workflowScheduler},
		{Name: "workflow-peers", What: "5 steps, and 100 in parallel, beside DBOS and Temporal at the same durability", Run: workflowPeers},
	})
}
