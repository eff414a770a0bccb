package drivertest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/faas/internal/recordtb"
)

// flaws names, for each clause, doubles that it must not pass.
var flaws = map[string][]string{
	"info/plain-data":                {"name-invalid", "contract-twice"},
	"info/stable":                    {"info-changes"},
	"start/serves-when-it-returns":   {"ready-too-soon"},
	"start/status":                   {"labels-lost", "ready-unset"},
	"start/own-copy":                 {"labels-shared"},
	"start/environment":              {"env-inherited", "env-lost"},
	"start/id-taken":                 {"id-replaced"},
	"start/id-raced":                 {"id-raced"},
	"start/id-again":                 {"id-burnt"},
	"start-failure/invalid-task":     {"no-validation"},
	"start-failure/unknown-contract": {"any-contract"},
	"start-failure/missing-program":  {"missing-misnamed"},
	"start-failure/exits-early":      {"early-exit-waited-out", "failure-listed", "failure-leaves"},
	"start-failure/never-ready":      {"start-timeout-ignored", "failure-listed", "failure-leaves"},
	"cancel/before-start":            {"cancelled-starts"},
	"cancel/during-start":            {"cancel-ignored", "failure-leaves"},
	"cancel/deadline":                {"deadline-misnamed", "failure-leaves"},
	"cancel/any-point":               {"failure-leaves", "deadline-misnamed"},
	"stop/polite":                    {"rude"},
	"stop/by-force":                  {"never-forces"},
	"stop/at-once":                   {"no-grace-is-default"},
	"stop/descendants":               {"daemon-survives"},
	"stop/twice":                     {"unknown-is-fine"},
	"stop/concurrent":                {"second-stop-returns"},
	"stop/shortest-grace":            {"first-grace-holds"},
	"stop/unknown":                   {"unknown-is-fine"},
	"stop/context":                   {"stop-called-off"},
	"list/exact":                     {"list-forgets", "list-without-endpoints"},
	"list/own-slice":                 {"list-shared"},
	"watch/snapshot-then-changes":    {"no-snapshot", "gone-without-exit"},
	"watch/many-readers":             {"one-reader"},
	"watch/slow-reader":              {"ends-missed"},
	"watch/reader-leaves":            {"reader-missed"},
	"watch/context":                  {"watch-ends-silently"},
	"watch/close":                    {"close-silent", "watch-ends-silently"},
	"exit/code":                      {"code-lost", "ended-unlisted", "ended-unseen"},
	"exit/signal":                    {"signal-as-code"},
	"exit/out-of-memory":             {"memory-as-signal"},
	"exit/takes-its-descendants":     {"daemon-survives-exit"},
	"limit/isolation":                {"any-isolation"},
	"limit/milliCPU":                 {"any-limit"},
	"limit/memory":                   {"memory-unlimited"},
	"limit/pids":                     {"any-limit"},
	"limit/files":                    {"any-limit"},
	"limit/fileSize":                 {"any-limit"},
	"logs/declared":                  {"logs-lost", "logs-undeclared"},
	"logs/lines":                     {"one-stream"},
	"logs/tail":                      {"tail-ignored"},
	"logs/follow":                    {"follow-ends"},
	"logs/errors":                    {"unknown-has-no-lines"},
	"image/runs":                     {"image-not-run", "images-undeclared"},
	"image/missing":                  {"image-misnamed"},
	"pause/declared":                 {"pause-lost", "pause-undeclared"},
	"pause/freezes":                  {"pause-does-nothing", "pause-once"},
	"pause/errors":                   {"pause-unknown-is-fine"},
	"pause/ends":                     {"paused-stays"},
	"stats/declared":                 {"stats-lost", "stats-undeclared"},
	"stats/measures":                 {"stats-empty", "stats-of-nothing"},
	"recover/declared":               {"recover-lost", "recover-undeclared"},
	"recover/handle":                 {"handle-changes", "handle-misnamed"},
	"recover/refuses":                {"owner-any", "recover-twice"},
	"recover/adopts":                 {"adopts-nothing", "adopted-forgets", "dies-with-its-driver"},
	"recover/strays":                 {"strays-stay", "strays-untold"},
	"many/hammer":                    {"crowd"},
	"many/distinct-endpoints":        {"one-endpoint"},
	"lifecycle/close-stops-all":      {"close-leaves"},
	"lifecycle/close-twice":          {"closed-once"},
	"lifecycle/closed":               {"open-after-close"},
	"lifecycle/close-during-start":   {"close-ignored"},
	"lifecycle/close-during-stop":    {"close-waits"},
}

// TestKitNotices runs every clause against the correct double and against its broken ones.
func TestKitNotices(t *testing.T) {
	for _, g := range groups() {
		for _, c := range g.clauses {
			name := g.name + "/" + c.name
			broken := flaws[name]
			if len(broken) == 0 {
				t.Errorf("%s has no double that it must not pass", name)
			}
			for _, flaw := range append([]string{""}, broken...) {
				t.Run(name+"/"+flaw, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := recordtb.Run(t, func(tb testing.TB) { c.run(tb, simHarness(flaw)) })
						time.Sleep(3 * time.Hour) // of the bubble: what a double still waits for
						if flaw != "" {
							t.Logf("noticed:\n%s", r.Recorded())
						}
						switch {
						case r.Skipped():
							t.Errorf("skipped:\n%s", r.Recorded())
						case flaw == "" && r.Failed():
							t.Errorf("a correct driver fails:\n%s", r.Recorded())
						case flaw != "" && !r.Failed():
							t.Errorf("a driver that is %q passes", flaw)
						}
					})
				})
			}
		}
	}
}

func TestHarnessIsChecked(t *testing.T) {
	h := simHarness("")
	h.Limits = nil
	for name, h := range map[string]Harness{"empty": {}, "no proof of a declared limit": h} {
		for _, c := range limitClauses() {
			if c.name == "memory" && !recordtb.Run(t, func(tb testing.TB) { c.run(tb, h) }).Failed() {
				t.Errorf("a harness that is %s passes", name)
			}
		}
	}
}
