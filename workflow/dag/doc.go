// Package dag is the language "dag" of workflow definitions (W1): tasks and what they need.
// A definition is YAML, JSON, or a [Spec] in Go, which says the same.
//
//	description: count the words of all texts of a directory
//	tasks:
//	  split:
//	    call: split
//	  count:
//	    call: count
//	    needs: [split]
//	    expand: {over: {from: tasks.split.output.files}, concurrency: 20}
//	    input: {file: {from: item}}
//	    retry: [{max: 3, interval: 1s, jitter: full}]
//	  report:
//	    call: report
//	    needs: [count]
//	    input: {counts: {from: tasks.count.output}, title: {join: ["Report ", {from: run.id}]}}
//
// # Tasks
//
// A task calls a function, waits, asks, chooses, runs a child workflow, or is a group of tasks; see [Task]. It
// starts when its trigger rule allows ([Rule], those of Apache Airflow), and a task that cannot start any more is
// skipped or fails with its upstream, as the rule says. The execution fails if one of the last tasks did: a failure that
// a later task was made for is none.
//
// # Templates
//
// An input, an output, a list to map over, and each side of a condition is a template: any JSON value
// in which these objects are replaced.
//
//	{"from": PATH}                    what stands at the path; the task fails if there is nothing
//	{"from": PATH, "default": VALUE}  the same, or VALUE if there is nothing
//	{"join": [PART, ...]}             one text of all parts
//	{"literal": VALUE}                VALUE, not looked into
//
// A path is a root, then ".key" and "[position]":
//
//	input                    the execution's input
//	tasks.NAME.output        the output of a task that comes before, null if it has none
//	tasks.NAME.state         "succeeded", "failed", "upstream_failed" or "skipped"
//	tasks.NAME.failure       {"name", "cause", "status"} of a failed task, else null
//	item, index              in a mapped task
//	failure                  in a catch
//	run.id, run.namespace, run.number, run.started
//	run.interval.start, run.interval.end    the data interval: the execution's attributes of
//	                         these names ([IntervalStart], [IntervalEnd]), or when it started
//
// A payload that is passed on whole is not read, however large it is.
//
// # Errors
//
// Compile finds every fault at once: [workflow.Diagnostics] with path, line and column. In an execution a
// template that cannot be filled fails its task with workflow.FailureProgram.
//
// # Concurrency
//
// A Program is immutable and may be shared. The cost of an event does not depend on the number of tasks.
package dag
