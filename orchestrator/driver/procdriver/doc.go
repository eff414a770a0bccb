// Package procdriver is a driver (what the node agent, R4 of the SPEC-RG
// reference architecture, starts function instances with) whose instances are
// operating-system processes. It works on Linux 5.10 and later; elsewhere New returns
// ErrUnimplemented.
//
//	d, err := procdriver.New(nil)
//	st, err := d.Start(ctx, driver.Task{
//		ID:       "i1",
//		Contract: faas.ContractInherit,
//		Dir:      "/srv/code/hello",
//		Command:  []string{"./hello"},
//		Limits:   faas.Resources{Memory: 64 << 20, Pids: 64},
//	})
//	// st.Endpoint is the unix socket of a server that has answered already.
//	err = d.Stop(ctx, "i1", 10*time.Second)
//
// # What a process gets
//
// A session and a process group of its own. A private directory as its working
// directory, $HOME and $TMPDIR, which is removed when it ends (an empty one is kept
// ready for the next start). The environment of the task, the variable of its contract (which wins over the
// task's) and, where the task does not set them, HOME, TMPDIR and a PATH of the usual
// system directories; nothing is inherited. Descriptors 0 (/dev/null), 1 and 2
// (pipes to the log), 3 for http-inherit, and no other: New marks the descriptors
// that this process inherited itself as close-on-exec. Umask 022. No core dumps
// unless it asks for them. It runs as the user of the platform: isolation
// level L1, a boundary against accidents and not against attackers.
//
// # Contracts
//
//   - http: $PORT is a port of 127.0.0.1 that was free a moment before. Ready when it accepts a connection.
//   - http-socket: $SOCKET is a path in the private directory. Ready when it accepts a connection.
//   - http-inherit: descriptor 3 listens and LISTEN_FDS is 1. Ready when "OPTIONS *"
//     (RFC 9110, 9.3.7) has any HTTP answer; nothing is polled.
//   - stdio: a process per request, after OpenFaaS' classic watchdog; see below.
//
// # Stdio
//
// The driver serves the endpoint and runs the command once for each request: the body
// is its stdin, its stdout is the body of the answer, its stderr goes to the log. Exit
// code 0 is 200; anything else is 500 with "exit status N" (or "signal: NAME", or "out of
// memory") on the first line, then the output. An answer beyond 1 MiB is passed on while it is written; if the
// process fails after that, the connection is cut. The environment also has Http_Method, Http_Path,
// Http_Query, Http_Host, Http_ContentLength, Http_Content_Length, Http_Transfer_Encoding and
// Http_<Header_With_Underscores>. The answer has the request's Content-Type. When the caller
// goes away, the process and all it started are killed; so are those that a call leaves
// behind. At most Task.Concurrency processes run at a time, further requests wait.
// The limits hold for all calls of an instance together.
//
// # Limits
//
// files and fileSize are resource limits (setrlimit) of each process. milliCPU, memory and
// pids need a cgroup, version 1 or 2, that this process may create groups in: below its own
// group, or beside it where a service manager delegates the group above (systemd's
// Delegate= with DelegateSubgroup=). New tries it out, for each kind; Info.Limits says
// what was found, and Start refuses the rest. All of them hold before the first
// instruction of the program: where it is not born with them, it is stopped at its exec, as by a
// debugger, until they do.
//
// # Ends
//
// Stop sends SIGTERM to the process group, waits for the grace and then kills. When the
// process has ended, for whatever reason, everything that it started is killed: with a
// cgroup exactly that. Without any (Options.NoCgroups, or none found) the driver makes
// this process a child subreaper (prctl(2)) and finds the rest by session, by descent, and
// among its adopted children by the private directory in their environment or working
// directory. A process that leaves its session, outlives its parents and has changed
// both is not found then, and a zombie of one that led a session of its own is
// not reaped: nobody can tell it from a child of the embedder, whose children are left alone always.
//
// # Recovery
//
// Instances outlive the process of the driver, a platform or a plugin that was killed, and go on serving. Another
// driver with the same Options.Dir adopts them (driver.Recoverer): Recover writes the owner's name into
// the driver's directory, joinery-proc-*, where a lock tells whether its driver lives. A handle names a process by its
// number and the time of its start, so that it never means another one; its groups, its port and its log
// are found again, and what it has written meanwhile, up to the 64 KiB that a pipe holds. Beyond those it waits for a reader. Of one that
// ends after its adoption the exit code is told while its parent has not waited for it, or with Linux 6.15 or later;
// else only that it was out of memory, or driver.ExitLost. The endpoint of a stdio instance is served
// again; calls that were under way are lost.
//
// Adopted instances are children of the nearest subreaper, often process 1, which has to wait for them: in a
// container, run the platform under an init.
//
// Without Recover nobody looks after what is left: kill what the groups named joinery-<pid>-* of
// the dead process list, and remove its directory.
//
// # Logs
//
// Lines of stdout and stderr, cut at MaxLine bytes. Options bound how fast lines are taken
// and how many are kept; the others are counted (driver.LogLine.Dropped). The last line of a stream is
// never dropped by the rate. A flood is read and thrown away: it blocks nobody.
//
// # Errors
//
// Those of driver.Driver. ErrExhausted: no more processes, descriptors, memory or disk.
// ErrInvalidArgument also when the program is not executable or for another machine.
// Exit.Detail and the errors of Start end with the last lines of stderr.
//
// # Concurrency
//
// As driver.Driver says. Starts run in parallel. An idle instance costs three goroutines
// (stdio: one) and no thread.
package procdriver
