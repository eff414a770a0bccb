package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/joinery/faas/workflow/dag"
)

// airflowTriggerRules are the rows of Airflow's own tests of its trigger rules, each with and without the flag by which
// the evaluation also says what becomes of a task that will not start.
var airflowTriggerRules = suite{
	name: "airflow-trigger-rules", about: "Apache Airflow's tests of its trigger rules, over dag.Rule",
	folder: "workflow/airflow-trigger-rules", run: runTriggerRules,
}

type triggerRow struct {
	Test           string  `json:"test"`
	Rule           string  `json:"rule"`
	Upstream       int     `json:"upstream"`
	Success        int     `json:"success"`
	Skipped        int     `json:"skipped"`
	Failed         int     `json:"failed"`
	Removed        int     `json:"removed"`
	UpstreamFailed int     `json:"upstream_failed"`
	Done           int     `json:"done"`
	Passes         bool    `json:"passes"`
	Reason         *string `json:"reason_contains"`
	ReasonNoFlag   *string `json:"reason_when_flag_false"`
	StateWithFlag  *string `json:"ti_state_if_flag_upstream_failed"`
	StateOtherwise *string `json:"ti_state_otherwise"`
	MapIndex       *int    `json:"map_index"`
	Setups         int     `json:"setup_upstream"`
	SkippedSetups  int     `json:"skipped_setup"`
	SuccessSetups  int     `json:"success_setup"`
	WaitForPast    bool    `json:"wait_for_past_depends_before_skipping"`
	PastMet        *bool   `json:"past_depends_met"`
}

func runTriggerRules(folder string, t *tally) error {
	text, err := os.ReadFile(filepath.Join(folder, "cases.json"))
	if err != nil {
		return err
	}
	var file struct{ Cases []triggerRow }
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	for i, row := range file.Cases {
		for _, flag := range []bool{true, false} {
			t.check(fmt.Sprintf("row %d %s, flag %v", i+1, row.Test, flag), row.judge(flag))
		}
	}
	return nil
}

// judge returns how our rule differs from the row, or "".
func (row *triggerRow) judge(flag bool) string {
	u := dag.Upstream{
		Total: row.Upstream, Done: row.Done, Success: row.Success, Skipped: row.Skipped, Failed: row.Failed,
		UpstreamFailed: row.UpstreamFailed, Removed: row.Removed,
		Setups: row.Setups, SuccessSetups: row.SuccessSetups, SkippedSetups: row.SkippedSetups,
	}
	if row.MapIndex != nil {
		u.Mapped, u.Index = true, *row.MapIndex
	}
	state, wantState, wantReason := dag.StateNone, row.StateOtherwise, row.Reason
	rule := dag.Rule(row.Rule)
	if flag {
		// Only where it says what becomes of the task does the evaluation ask for the past.
		u.PastMissing = row.WaitForPast && row.PastMet != nil && !*row.PastMet
		state, wantState = rule.Verdict(u), row.StateWithFlag
	} else if row.ReasonNoFlag != nil {
		wantReason = row.ReasonNoFlag
	}
	want := dag.StateNone
	if wantState != nil {
		want = dag.State(*wantState)
	}
	var faults []string
	if passes := rule.Passes(u); passes != row.Passes {
		faults = append(faults, fmt.Sprintf("passes %v, want %v", passes, row.Passes))
	}
	if state != want {
		faults = append(faults, fmt.Sprintf("state %q, want %q", state, want))
	}
	switch why := rule.Why(u); {
	case wantReason == nil && why != "":
		faults = append(faults, fmt.Sprintf("the reason %q, want none", why))
	case wantReason != nil && !strings.Contains(why, *wantReason):
		faults = append(faults, fmt.Sprintf("the reason %q, want one with %q", why, *wantReason))
	}
	return strings.Join(faults, "; ")
}
