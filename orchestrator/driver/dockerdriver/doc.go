// Package dockerdriver is a driver (what the node agent, R4 of the SPEC-RG reference
// architecture, starts function instances with) whose instances are containers of a Docker Engine
// on this machine. It speaks the engine's API over its unix socket, any version from 1.41 (Docker 20.10, as
// in Debian 12) on, and agrees with the engine on the newest that both know.
//
//	d, err := dockerdriver.New(ctx, nil)
//	st, err := d.Start(ctx, driver.Task{
//		ID:       "i1",
//		Contract: faas.ContractSocket,
//		Dir:      "/srv/code/hello", // or Image: "registry.example/hello:1", or both
//		Command:  []string{"./hello"},
//		Limits:   faas.Resources{Memory: 64 << 20, MilliCPU: 500, Pids: 64},
//	})
//	// st.Endpoint is a unix socket of this machine.
//	err = d.Stop(ctx, "i1", 10*time.Second)
//
// As a plugin it is the program cmd/faas-driver-docker.
//
// # What a container gets
//
// A root file system that is read-only; a tmpfs at /tmp (Options.TmpSize; it counts as
// memory), which is its working directory, HOME and TMPDIR where the image does not say otherwise; the code,
// read-only, at /code. Isolation level L3: no capability, no new privileges, a user that is not root,
// the engine's default seccomp profile, no shared memory with others. No swap beside its memory limit.
// An init process (tini) of the engine as PID 1, so that signals work as usual and nothing
// is left of what it starts. No core dumps. The environment of the task, what the contract adds,
// PATH and HOSTNAME by the engine, and the environment of the image.
//
// A task with an Image runs in it; one with an empty Command runs what the image says. A task
// without runs in Options.Base, by default an empty image that the driver makes: static programs
// run in it. Code and image can be combined: a base image with an interpreter, the function as code.
//
// # Contracts
//
//   - http-socket: $SOCKET is in a directory that container and platform share: the fastest. The endpoint
//     is a second name of that socket, out of the container's reach, and nothing but a socket is taken.
//   - http: $HOST:$PORT is 0.0.0.0:8080 in the container, whose own address is the endpoint.
//
// Both are ready when they accept a connection. http-inherit is refused: Docker hands no descriptor to a
// container; and so is stdio.
//
// An engine that maps users (userns-remap, rootless) cannot share a socket with this process: there
// contract http alone works.
//
// # Network
//
// With http-socket a container has a loopback and nothing else. With http it is on a bridge without a way
// out, the driver's own: only this machine reaches it, and it reaches this machine's services, those that
// listen on all addresses, but no other instance and nothing beyond. Functions that call others need
// Options.Network: an existing Docker network that all instances join. Name one that the
// administrator has made for that, not "bridge", on which containers reach each other.
//
// # Labels and recovery
//
// Every container carries joinery.owner, joinery.task and joinery.dir. A driver with an owner
// (driver.Recoverer) finds the containers of its predecessor by the first and adopts or removes them;
// without Recover the owner is the driver itself, and a process that is killed leaves containers behind:
//
//	docker rm -f $(docker ps -aq --filter label=joinery.owner)
//	docker network prune -f --filter label=joinery.owner
//
// # Ends
//
// The engine's events tell of ends. When their stream is cut (the engine was restarted) it is
// resumed, and what was believed is compared with what is there, as it is every 15 seconds: instances that have gone end,
// ExitLost if their container is gone too. Exit codes above 128 are told as the signal that killed
// the process; SIGKILL, that nobody sent through the engine, to a container with a memory limit as out of
// memory, since the engine does not notice all of these. Exit.Detail is the end of stderr.
//
// # Logs
//
// The engine keeps the newest lines (Options.LogKeep, in its format) and drops what
// comes faster than it can write; LogLine.Dropped does not count these. Lines are cut at MaxLine bytes.
//
// # Errors
//
// Those of driver.Driver. ErrUnavailable: the engine is down, or was restarted during the call; its
// socket is connected to again by the next. ErrNotFound: also an image that cannot be had. ErrAlreadyExists:
// also a foreign container that has the name. ErrExhausted: also a full disk. A Stop
// that the engine fails returns the engine's error, and the driver goes on trying; so does Close, but
// it does not go on.
//
// # Concurrency
//
// As driver.Driver says. Starts run in parallel, and Options.Parallel of them are in the engine at a time,
// as more make each of them slower and none faster. One goroutine follows the engine's events
// from the first Start; an idle instance costs none.
package dockerdriver
