package dag

import (
	"fmt"
	"slices"
)

// Rule is a trigger rule: when a task starts, judged by how the tasks it needs ended. The rules,
// their order of precedence and what they make of a task that will not start are those of
// Apache Airflow 3 (airflow.ti_deps.deps.trigger_rule_dep).
type Rule string

// The rules.
const (
	// AllSuccess: all succeeded. The default.
	AllSuccess Rule = "all_success"
	// AllFailed: all failed.
	AllFailed Rule = "all_failed"
	// AllDone: all have ended, however.
	AllDone Rule = "all_done"
	// AllDoneMinOneSuccess: all have ended, and at least one succeeded.
	AllDoneMinOneSuccess Rule = "all_done_min_one_success"
	// AllSkipped: all were skipped.
	AllSkipped Rule = "all_skipped"
	// OneSuccess: at least one succeeded; it does not wait for the others.
	OneSuccess Rule = "one_success"
	// OneFailed: at least one failed; it does not wait for the others.
	OneFailed Rule = "one_failed"
	// OneDone: at least one succeeded or failed; it does not wait for the others.
	OneDone Rule = "one_done"
	// NoneFailed: all have ended, and none failed.
	NoneFailed Rule = "none_failed"
	// NoneFailedMinOneSuccess: all have ended, none failed, and at least one succeeded.
	NoneFailedMinOneSuccess Rule = "none_failed_min_one_success"
	// NoneSkipped: all have ended, and none was skipped.
	NoneSkipped Rule = "none_skipped"
	// Always: at once.
	Always Rule = "always"
	// AllDoneSetupSuccess: all have ended, and at least one of the setups succeeded. The default of a teardown.
	AllDoneSetupSuccess Rule = "all_done_setup_success"
)

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{AllSuccess, AllFailed, AllDone, AllDoneMinOneSuccess, AllSkipped, OneSuccess, OneFailed, OneDone,
		NoneFailed, NoneFailedMinOneSuccess, NoneSkipped, Always, AllDoneSetupSuccess}
}

// State is where a task stands.
type State string

// The states.
const (
	StateNone           State = ""
	StateRunning        State = "running"
	StateSucceeded      State = "succeeded"
	StateFailed         State = "failed"
	StateUpstreamFailed State = "upstream_failed"
	StateSkipped        State = "skipped"
	// StateRemoved: a mapped instance that the expansion no longer has.
	StateRemoved State = "removed"
)

// Upstream counts how the tasks that a task needs ended; each instance of a mapped task counts.
type Upstream struct {
	// Total is how many there are; Done how many have ended.
	Total, Done int
	// By how they ended.
	Success, Skipped, Failed, UpstreamFailed, Removed int
	// Setups is how many of them are setups of this teardown; SuccessSetups and SkippedSetups how they ended.
	Setups, SuccessSetups, SkippedSetups int
	// Mapped and Index: the task is instance Index of a mapped task.
	Mapped bool
	Index  int
	// PastMissing: the task may not be skipped before an earlier run of it has ended, and that has not.
	PastMissing bool
}

// Verdict returns the state that a task which does not start is put into before it could, or StateNone.
func (r Rule) Verdict(u Upstream) State {
	state := r.verdict(&u)
	if state == StateSkipped && u.PastMissing {
		return StateNone
	}
	return state
}

func (r Rule) verdict(u *Upstream) State {
	all := u.Done >= u.Total
	failed := u.Failed + u.UpstreamFailed
	is := func(condition bool, s State) State {
		if condition {
			return s
		}
		return StateNone
	}
	switch r {
	case AllSuccess:
		switch {
		case failed > 0:
			return StateUpstreamFailed
		case u.Skipped > 0:
			return StateSkipped
		}
		return is(u.Removed > 0 && u.Success > 0 && u.Mapped && u.Index >= u.Success, StateRemoved)
	case AllFailed:
		return is(u.Success+u.Skipped > 0, StateSkipped)
	case OneSuccess:
		if all && u.Done == u.Skipped {
			return StateSkipped
		}
		return is(all && u.Success == 0, StateUpstreamFailed)
	case OneFailed:
		return is(all && failed == 0, StateSkipped)
	case OneDone:
		return is(all && u.Failed+u.Success == 0, StateSkipped)
	case NoneFailed:
		return is(failed > 0, StateUpstreamFailed)
	case NoneFailedMinOneSuccess:
		if failed > 0 {
			return StateUpstreamFailed
		}
		return is(u.Total > 0 && u.Skipped == u.Total, StateSkipped)
	case NoneSkipped:
		return is(u.Skipped > 0, StateSkipped)
	case AllSkipped:
		return is(u.Success+failed > 0, StateSkipped)
	case AllDoneMinOneSuccess:
		if all && u.Total > 0 && u.Skipped == u.Total {
			return StateSkipped
		}
		return is(all && u.Total > 0 && u.Success == 0, StateUpstreamFailed)
	case AllDoneSetupSuccess:
		if !all || u.Setups == 0 {
			return StateNone
		}
		if u.SkippedSetups >= u.Setups {
			return StateSkipped
		}
		return is(u.SuccessSetups == 0, StateUpstreamFailed)
	}
	return StateNone
}

// Passes reports whether the task may start.
func (r Rule) Passes(u Upstream) bool {
	all := u.Done >= u.Total
	total := u.Total
	if u.Mapped {
		total -= u.Removed
	}
	switch r {
	case Always:
		return true
	case AllSuccess:
		return total-u.Success <= 0
	case AllFailed:
		return total-u.Failed-u.UpstreamFailed <= 0
	case AllDone:
		return all
	case AllDoneMinOneSuccess:
		return all && (u.Total == 0 || u.Success > 0)
	case AllSkipped:
		return u.Total-u.Skipped <= 0
	case OneSuccess:
		return u.Success > 0
	case OneFailed:
		return u.Failed+u.UpstreamFailed > 0
	case OneDone:
		return u.Success+u.Failed > 0
	case NoneFailed, NoneFailedMinOneSuccess:
		return total-u.Success-u.Skipped <= 0
	case NoneSkipped:
		return all && u.Skipped == 0
	case AllDoneSetupSuccess:
		return all && (u.Setups == 0 || u.SuccessSetups > 0)
	}
	return false
}

// Why says why the task may not start, as a sentence; empty if it may.
func (r Rule) Why(u Upstream) string {
	if u.PastMissing && r.verdict(&u) == StateSkipped {
		return "Task should be skipped but the past depends are not met"
	}
	if !slices.Contains(Rules(), r) {
		return fmt.Sprintf("No strategy to evaluate trigger rule '%s'.", string(r))
	}
	if r.Passes(u) {
		return ""
	}
	total := u.Total
	if u.Mapped {
		total -= u.Removed
	}
	requires := func(format string, args ...any) string {
		return "Task's trigger rule '" + string(r) + "' requires " + fmt.Sprintf(format, args...)
	}
	switch r {
	case AllSuccess:
		return requires("all upstream tasks to have succeeded, but found %d non-success(es).", total-u.Success)
	case AllFailed:
		return requires("all upstream tasks to have failed, but found %d non-failure(s).", total-u.Failed-u.UpstreamFailed)
	case AllDone:
		return requires("all upstream tasks to have completed, but found %d task(s) that were not done.", u.Total-u.Done)
	case AllDoneMinOneSuccess:
		return requires("all upstream tasks to have completed and at least one to have succeeded, but found %d done and %d success(es).", u.Done, u.Success)
	case AllSkipped:
		return requires("all upstream tasks to have been skipped, but found %d task(s) in non skipped state.", u.Total-u.Skipped)
	case OneSuccess:
		return requires("one upstream task success, but none were found.")
	case OneFailed:
		return requires("one upstream task failure, but none were found.")
	case OneDone:
		return requires("at least one upstream task failure or success but none were failed or success.")
	case NoneFailed, NoneFailedMinOneSuccess:
		return requires("all upstream tasks to have succeeded or been skipped, but found %d non-success(es).", total-u.Success-u.Skipped)
	case NoneSkipped:
		return requires("all upstream tasks to not have been skipped, but found %d task(s) skipped.", u.Skipped)
	}
	if u.Done < u.Total {
		return requires("all upstream tasks to be done, but found %d task(s) that were not done.", u.Total-u.Done)
	}
	return requires("at least one upstream setup task be successful, but found %d task(s) that were not.", u.Setups-u.SuccessSetups)
}
