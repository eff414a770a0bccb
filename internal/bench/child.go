package main

import (
	"os"
	"os/exec"
)

// children are the roles this program plays for itself in a second process, by
// the value of the environment variable JOINERY_BENCH_ROLE.
var children = map[string]func(){
	roleFront:        serveFront,
	roleReverseProxy: serveReverseProxy,
	roleFrontMemory:  serveFrontMemory,
	roleBareEcho:     serveBareEcho,
	roleIdlePlugin:   serveIdlePlugin,
	roleProcPlugin:   serveProcPlugin,
	roleBarePlugin:   serveBarePlugin,
	roleDockerPlugin: serveDockerPlugin,
}

const roleEnv = "JOINERY_BENCH_ROLE"

// runChild plays the role that the environment asks for, if it does.
func runChild() bool {
	role, ok := children[os.Getenv(roleEnv)]
	if ok {
		role()
	}
	return ok
}

// child returns a command that runs this program in the role.
func child(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}
