// Package fission is the language "fission" of workflow definitions (W1): the YAML of Fission
// Workflows 0.6, read as it is.
//
//	apiVersion: 1
//	output: WhaleWithFortune
//	tasks:
//	  GenerateFortune:
//	    run: fortune
//	  WhaleWithFortune:
//	    run: whalesay
//	    inputs: "{ output('GenerateFortune') }"
//	    requires:
//	    - GenerateFortune
//
// A task runs a function, "[runtime://][namespace/]name", or one of the built-in ones: compose, fail,
// foreach, http, if, javascript, noop, repeat, sleep, switch and while. It starts when what it requires has succeeded
// (await of them, if it says so). Any task that fails ends the execution. An answer that is a task or a workflow, in the
// definition (has "run" or "tasks") or from a function (media types application/vnd.fission.workflows.task and .workflow, with
// JSON or YAML), takes the place of the task that gave it; its tasks also see those around them.
//
// A text in braces is JavaScript (goja) over $ = {Workflow, Invocation{Inputs}, Tasks{...}} and taskId, with param(), input(),
// output(), outputHeaders(), task() and uid().
//
// # What is pure
//
// The built-in functions and expressions are part of the fold: they happen within a step, are not in the log, and
// come out the same in a replay. So the clock of JavaScript is the event's, in UTC; chance and uid() follow from the
// execution's seed; and work is bounded by counting it (100,000 turns and calls, texts of 1 Mi characters, lists of
// 100,000, results of 4 MiB), not by time. Nothing of the host can be reached. The built-in http, and references such as
// "http://example.com", call a function that the platform offers for it ([Options]): this package sends nothing.
// Of an answer's headers only Content-Type is kept.
//
// # Differences from Fission
//
// A runtime other than internal, http and https only says that a function is meant. An item of foreach, or another value that a loop passes on, is never evaluated as an expression. Unknown fields are passed
// over, but those that differ from a known one in case are faults. Protobuf answers are not read.
//
// # Errors
//
// Compile finds every fault at once: [workflow.Diagnostics] with path, line and column.
package fission
