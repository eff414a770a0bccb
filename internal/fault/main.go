// Command fault breaks real platforms on purpose and measures what becomes of the
// calls, the processes and the files.
//
//	go run ./internal/fault          lists the faults
//	go run ./internal/fault NAME     causes one of them
//
// It prints one line for each figure and exits 0 whether the goals are met or not:
//
//	figure NAME VALUE UNIT goal OP BOUND ok|short
package main

import (
	"os"

	"github.com/joinery/faas/internal/figure"
)

// Figure is one measured value and its goal.
type Figure = figure.Figure

func main() {
	if role(os.Args[1:]) || engineRole(os.Args[1:]) || storeRole(os.Args[1:]) {
		return
	}
	figure.Run([]figure.Measurement{
		{Name: "instance-kill", What: "kill -9 of instances with calls in flight", Run: instanceKill},
		{Name: "mid-response", What: "an instance that dies in the middle of its answer", Run: midResponse},
		{Name: "garbage", What: "an instance that answers what is not HTTP", Run: garbage},
		{Name: "never-ready", What: "a herd on a function that never becomes ready", Run: neverReady},
		{Name: "ignore-term", What: "an instance that ignores SIGTERM", Run: ignoreTerm},
		{Name: "fork-bomb", What: "a fork bomb under a limit of processes", Run: forkBomb},
		{Name: "flood", What: "an instance that floods its standard output: lines, a line of 100 MB, NUL bytes", Run: flood},
		{Name: "out-of-memory", What: "an instance that goes over its memory limit", Run: outOfMemory},
		{Name: "daemons", What: "double-forked daemons in sessions of their own", Run: daemons},
		{Name: "hung-instance", What: "one of four instances stopped by SIGSTOP", Run: hungInstance},
		{Name: "slow-instance", What: "one of four instances answers 2 s late", Run: slowInstance},
		{Name: "queue-full", What: "20,000 calls at once for a queue of 10,000", Run: queueFull},
		{Name: "cpu-burner", What: "eight processes that burn CPU beside another function", Run: cpuBurner},
		{Name: "zero-race", What: "scale to zero racing new calls, 10,000 rounds", Run: zeroRace},
		{Name: "cancelled-start", What: "cold starts cancelled at random points", Run: cancelledStart},
		{Name: "disconnect", What: "clients that hang up in mid-call", Run: disconnect},
		{Name: "shutdown", What: "shutdown under load", Run: shutdown},
		{Name: "hostile-http", What: "hostile requests to the HTTP front", Run: hostileHTTP},
		{Name: "plugin-kill", What: "kill -9 of driver plugins whose instances are being called", Run: pluginKill},
		{Name: "plugin-hang", What: "driver plugins stopped by SIGSTOP", Run: pluginHang},
		{Name: "plugin-start", What: "driver plugins that do not start, in 13 ways", Run: pluginStart},
		{Name: "docker-engine", What: "a Docker Engine stopped, restarted, killed, out of disk; containers, images and names gone or taken", Run: dockerEngine},
		{Name: "host-death", What: "kill -9 of the host of a driver plugin with instances", Run: hostDeath},
		{Name: "engine-kill", What: "kill -9 of a workflow engine with 200 executions in flight; a number after the name: so many rounds", Run: engineKill},
		{Name: "engine-failpoints", What: "a workflow engine that is killed at every failpoint; a number after the name: so many rounds", Run: engineFailpoints},
		{Name: "hostile-archives", What: "hostile source archives", Run: hostileArchives},
		{Name: "log-torn", What: "the log of a killed workflow store, cut off at every byte of its last records", Run: logTorn},
		{Name: "log-flip", What: "single bits changed over 64 KiB of a workflow store's log and table", Run: logFlip},
		{Name: "disk-full", What: "a workflow store on a file system of 16 MB that is filled and freed", Run: diskFull},
		{Name: "second-opener", What: "a second process that opens a workflow store", Run: secondOpener},
	})
}
