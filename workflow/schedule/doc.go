// Package schedule is a workflow language ("schedule") whose executions start other workflows by the clock: a
// schedule is an execution like any other, so it is durable, listed, explained, suspended and cancelled like
// any other, and survives the engine.
//
//	workflow: default/report            # what to run; without a version, the latest at each start
//	cron: "30 2 * * mon-fri"            # five fields: minute hour day-of-month month day-of-week
//	timezone: Europe/Amsterdam          # default: UTC
//	# or: every: 15m                    # counted from the Unix epoch, at least 1s
//	overlap: buffer-one                 # while a run is under way: skip (default), buffer-one, buffer-all,
//	                                    # cancel-other, terminate-other, allow
//	catchup: 24h                        # runs missed by more are not made up for; default: 1h
//	jitter: 30s                         # each start is late by a random part of it
//	from: 2026-01-01T00:00:00Z          # the first and the last time
//	until: 2027-01-01T00:00:00Z
//	input: {bucket: photos}             # for each run
//	attributes: {team: a}               # search attributes of each run
//
// # What a run gets
//
// Each run covers a data interval: from the time before its own (inclusive) to its own (exclusive). It is
// in the run's input, as "interval": {"start": …, "end": …} beside the keys of input, and in its search attributes
// "interval.start" and "interval.end".
//
// # When the clock is changed
//
// A time that the clock skips in spring is run once, at the end of the gap. A time that comes twice in autumn is
// run once, the first time. Only where the hour is "*", which means every hour there is, both hours of
// the fold are run, and none in the gap.
//
// # Overlap
//
// skip drops a time that comes while a run is under way. buffer-one keeps one such time, buffer-all up to 1,000, and
// starts them when the run has ended. cancel-other and terminate-other cancel or terminate the run and start the new one
// without waiting for the other's end. allow starts it beside the other.
//
// # Control
//
// Suspend pauses the schedule: runs under way go on, times that pass are skipped, also when it is resumed.
// Cancel ends it; runs under way go on. The signal "backfill" with {"start": …, "end": …} runs every time of that
// range (start included, end not), at most 10,000, one after the other, beside the schedule's own runs. The
// query "next" answers the next times, "state" the counters.
//
// A schedule's state is small and has snapshots, so the engine continues its log by itself: it may run for ever.
//
// # Snippet
//
//	languages, err := workflow.NewLanguages(dag.Language(), schedule.Language())
//	_, err = registry.Register(ctx, workflow.Definition{Ref: faas.Ref{Name: "nightly"}, Language: "schedule", Source: text})
//	ref, err := eng.Start(ctx, workflow.StartRequest{Workflow: faas.Ref{Name: "nightly"}, ID: "nightly"})
//	err = eng.Control(ctx, ref, workflow.Control{Action: workflow.ActionSuspend, Reason: "maintenance"})
//
// # Errors
//
// Compile returns [workflow.Diagnostics] with every fault: a spec that never matches and a zone
// that is not known are faults of the definition. A process without a zone database imports time/tzdata.
//
// # Concurrency
//
// Programs are pure and may be shared. There are no goroutines.
package schedule
