package schedule_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
	"github.com/joinery/faas/workflow/programtest"
	"github.com/joinery/faas/workflow/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	fails := func(c workflow.Command, _ int) programtest.Outcome {
		if strings.HasSuffix(c.Step, "3") {
			return programtest.Outcome{Failure: &workflow.Failure{Name: "Oops"}}
		}
		return programtest.Outcome{Output: workflow.JSON(`1`)}
	}
	upTo := func(minutes int) string {
		return fmt.Sprintf("workflow: w\ncron: '* * * * *'\nuntil: %s\n", programtest.Epoch().Add(time.Duration(minutes)*time.Minute).Format(time.RFC3339))
	}
	cases := []programtest.Case{
		{Name: "backfill", Source: upTo(10), Answer: fails, Signals: []programtest.Signal{
			{Name: "backfill", Value: workflow.JSON(`{"start": "2025-12-31T00:00:00Z", "end": "2025-12-31T00:05:00Z"}`)},
			{Name: "backfill", Value: workflow.JSON(`"nonsense"`)},
		}},
		{Name: "cancelled", Source: upTo(10), CancelAt: 3},
	}
	for _, overlap := range []string{"skip", "buffer-one", "buffer-all", "cancel-other", "terminate-other", "allow"} {
		cases = append(cases, programtest.Case{Name: overlap, Answer: fails, Source: upTo(9) + "jitter: 40s\noverlap: " + overlap + "\ninput: {a: [1, 2.5]}\nattributes: {k: v}\n"})
	}
	programtest.Run(t, programtest.Harness{
		Language: schedule.Language(),
		Cases:    cases,
		Invalid: []programtest.Invalid{
			{Name: "nothing", Source: "{}", Paths: []string{"workflow", "cron"}},
			{Name: "never", Source: "workflow: w\ncron: '0 0 31 2 *'", Paths: []string{"cron"}},
			{Name: "too often", Source: "workflow: w\nevery: 1ns", Paths: []string{"every"}},
			{Name: "no duration", Source: "workflow: w\nevery: often", Paths: []string{"every"}},
			{Name: "both", Source: "workflow: w\nevery: 1h\ncron: '* * * * *'", Paths: []string{"every"}},
			{Name: "zone of an interval", Source: "workflow: w\nevery: 1h\ntimezone: Europe/Paris", Paths: []string{"timezone"}},
			{Name: "much", Source: "workflow: W\ncron: '* * * * *'\ntimezone: Mars/Base\noverlap: sometimes\njitter: -1s\ncatchup: -1s\nuntil: 2026-01-01T00:00:00Z\nfrom: 2027-01-01T00:00:00Z\ninput: {interval: 1}\nattributes: {interval.end: x}",
				Paths: []string{"workflow", "timezone", "overlap", "input.interval", "attributes.interval.end"}},
			{Name: "bounds", Source: "workflow: w\nevery: 1h\njitter: -1s\ncatchup: -1s\nuntil: 2026-01-01T00:00:00Z\nfrom: 2027-01-01T00:00:00Z", Paths: []string{"jitter", "catchup", "until"}},
			{Name: "unknown field", Source: "workflow: w\nevery: 1h\nevery2: 1h", Paths: []string{"every2"}},
		},
		Grow: func(n int) programtest.Case { return programtest.Case{Name: "grown", Source: upTo(n)} },
	})
}

// sleeper is a language whose executions take as long as their source says.
type sleeper struct{ d time.Duration }

func (sleeper) Name() string { return "sleep" }
func (sleeper) Compile(d *workflow.Definition) (workflow.Program, error) {
	v, err := time.ParseDuration(d.Source)
	return sleeper{v}, err
}
func (p sleeper) Step(_ workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	c := workflow.Command{}
	switch e.Kind {
	case workflow.ExecutionStarted:
		c = workflow.Command{Kind: workflow.CommandTimer, Step: "sleep", Due: e.Time.Add(p.d)}
	case workflow.StepSucceeded:
		c = workflow.Command{Kind: workflow.CommandSucceed, Payload: workflow.JSON(`"slept"`)}
	case workflow.CancelRequested:
		c = workflow.Command{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: workflow.FailureCanceled}}
	default:
		return p, nil, nil
	}
	return p, []workflow.Command{c}, nil
}
func (sleeper) Snapshot(workflow.State) ([]byte, error) { return nil, nil }
func (p sleeper) Restore([]byte, workflow.PayloadSource) (workflow.State, error) {
	return p, nil
}

// world is a real engine with a schedule of the workflow "work", in virtual time.
type world struct {
	*engine.Engine
	t      testing.TB
	config engine.Config
	ref    workflow.ExecutionRef
}

// begin starts a schedule by the text at 2000-01-01T00:00:00Z, when the time of a bubble begins. A run takes as long as work says.
func begin(t testing.TB, work, text string) *world {
	languages, err := workflow.NewLanguages(schedule.Language(), sleeper{})
	require.NoError(t, err)
	registry, err := memdefinitions.New(languages)
	require.NoError(t, err)
	for _, d := range []workflow.Definition{
		{Ref: faas.Ref{Name: "work"}, Language: "sleep", Source: work},
		{Ref: faas.Ref{Name: "clock"}, Language: "schedule", Source: "workflow: work\n" + text},
	} {
		_, err = registry.Register(t.Context(), d)
		require.NoError(t, err)
	}
	w := &world{t: t, config: engine.Config{Registry: registry, Languages: languages, Store: memstore.New(nil),
		Functions: faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) { panic("nothing is called") })}}
	w.open()
	w.ref, err = w.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "clock"}, ID: "clock"})
	require.NoError(t, err)
	return w
}

func (w *world) open() {
	w.config.Scheduler = fifo.New(nil)
	e, err := engine.New(w.config)
	require.NoError(w.t, err)
	w.Engine = e
	require.NoError(w.t, e.Recover(w.t.Context()))
}

func (w *world) close() {
	require.NoError(w.t, w.Close())
	require.NoError(w.t, w.config.Store.Close())
}

func (w *world) control(a workflow.Action) {
	require.NoError(w.t, w.Control(w.t.Context(), w.ref, workflow.Control{Action: a}))
}

// sleep lets time pass and everything that follows from it happen.
func sleep(d time.Duration) {
	time.Sleep(d) // in a bubble
	synctest.Wait()
}

// runs are the interval ends and statuses of all runs: "00:01 succeeded".
func (w *world) runs() (all []string) {
	page, err := w.List(w.t.Context(), workflow.ExecutionQuery{Workflow: "work", Limit: 1000})
	require.NoError(w.t, err)
	for _, x := range page.Executions {
		if x.Language == "sleep" {
			end, err := time.Parse(time.RFC3339, x.Attributes["interval.end"])
			require.NoError(w.t, err)
			all = append(all, end.Format("15:04")+" "+string(x.Status))
		}
	}
	slices.Sort(all)
	return all
}

func (w *world) counters() (c schedule.Counters) {
	p, err := w.Query(w.t.Context(), w.ref, "state", workflow.Payload{})
	require.NoError(w.t, err)
	require.NoError(w.t, p.Unmarshal(w.t.Context(), &c))
	return c
}

func bubble(t *testing.T, work, text string, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, work, text)
		defer w.close()
		f(t, w)
	})
}

const minutely = "cron: '* * * * *'\n"

func TestRunsGetTheirInterval(t *testing.T) {
	bubble(t, "1s", "cron: '0 */6 * * *'\ntimezone: Asia/Kolkata\ninput: {bucket: photos}\nattributes: {team: a}", func(t *testing.T, w *world) {
		sleep(time.Hour) // 06:00 there is 00:30 in UTC
		page, err := w.List(t.Context(), workflow.ExecutionQuery{Workflow: "work"})
		require.NoError(t, err)
		require.Len(t, page.Executions, 1)
		x := page.Executions[0]
		assert.Equal(t, map[string]string{"interval.start": "1999-12-31T18:30:00Z", "interval.end": "2000-01-01T00:30:00Z", "team": "a"}, x.Attributes)
		h, err := w.History(t.Context(), x.Ref, workflow.HistoryQuery{})
		require.NoError(t, err)
		input, _ := h.Events[0].Payload.InHand()
		assert.JSONEq(t, `{"bucket": "photos", "interval": {"start": "1999-12-31T18:30:00Z", "end": "2000-01-01T00:30:00Z"}}`, string(input))
		record, err := w.Get(t.Context(), w.ref)
		require.NoError(t, err)
		assert.Equal(t, "next at 2000-01-01T12:00:00+05:30", record.Note)
	})
}

func TestOverlap(t *testing.T) {
	for overlap, want := range map[string]struct {
		runs     []string
		counters schedule.Counters
	}{
		"skip":            {[]string{"00:01 succeeded", "00:04 running"}, schedule.Counters{Started: 2, Succeeded: 1, Skipped: 3}},
		"buffer-one":      {[]string{"00:01 succeeded", "00:02 running"}, schedule.Counters{Started: 2, Succeeded: 1, Skipped: 2}},
		"buffer-all":      {[]string{"00:01 succeeded", "00:02 running"}, schedule.Counters{Started: 2, Succeeded: 1}},
		"cancel-other":    {[]string{"00:01 canceled", "00:02 canceled", "00:03 canceled", "00:04 canceled", "00:05 running"}, schedule.Counters{Started: 5, Failed: 4}},
		"terminate-other": {[]string{"00:01 terminated", "00:02 terminated", "00:03 terminated", "00:04 terminated", "00:05 running"}, schedule.Counters{Started: 5, Failed: 4}},
		"allow":           {[]string{"00:01 succeeded", "00:02 succeeded", "00:03 running", "00:04 running", "00:05 running"}, schedule.Counters{Started: 5, Succeeded: 2}},
	} {
		t.Run(overlap, func(t *testing.T) {
			bubble(t, "2m30s", minutely+"overlap: "+overlap, func(t *testing.T, w *world) {
				sleep(5*time.Minute + time.Second)
				assert.Equal(t, want.runs, w.runs())
				assert.Equal(t, want.counters, w.counters())
			})
		})
	}
}

func TestSuspendIsAPause(t *testing.T) {
	bubble(t, "1s", minutely, func(t *testing.T, w *world) {
		sleep(90 * time.Second)
		w.control(workflow.ActionSuspend)
		sleep(3 * time.Minute)
		w.control(workflow.ActionResume)
		sleep(time.Minute)
		assert.Equal(t, []string{"00:01 succeeded", "00:05 succeeded"}, w.runs())
		assert.Equal(t, schedule.Counters{Started: 2, Succeeded: 2, Skipped: 3}, w.counters())
	})
}

func TestCatchUpAfterTheEngineWasAway(t *testing.T) {
	for text, want := range map[string]schedule.Counters{
		"overlap: allow\ncatchup: 150s": {Started: 4, Succeeded: 4, Missed: 3},
		"overlap: skip\ncatchup: 150s":  {Started: 2, Succeeded: 2, Missed: 3, Skipped: 2},
		"overlap: buffer-all":           {Started: 7, Succeeded: 7},
	} {
		t.Run(text, func(t *testing.T) {
			bubble(t, "1s", minutely+text, func(t *testing.T, w *world) {
				sleep(90 * time.Second) // one run
				require.NoError(t, w.Close())
				time.Sleep(6 * time.Minute) // misses 00:02 to 00:07; 00:07 is 30 s ago
				w.open()
				sleep(20 * time.Second)
				assert.Equal(t, want, w.counters())
			})
		})
	}
}

func TestBackfill(t *testing.T) {
	bubble(t, "10m", "cron: '0 * * * *'", func(t *testing.T, w *world) {
		signal := func(text string) {
			require.NoError(t, w.Signal(t.Context(), w.ref, "backfill", workflow.JSON(text)))
		}
		signal(`{"start": "1999-12-31T03:00:00Z", "end": "1999-12-31T06:00:00Z"}`)
		signal(`{"start": "1999-12-31T03:00:00Z"}`)
		signal(`{"start": "1900-12-31T03:00:00Z", "end": "1999-12-31T06:00:00Z"}`)
		sleep(15 * time.Minute)
		assert.Equal(t, []string{"03:00 succeeded", "04:00 running"}, w.runs(), "one after the other")
		sleep(time.Hour)
		assert.Equal(t, []string{"01:00 succeeded", "03:00 succeeded", "04:00 succeeded", "05:00 succeeded"}, w.runs())
		assert.Equal(t, schedule.Counters{Started: 4, Succeeded: 4, Refused: 2}, w.counters())
	})
}

func TestJitterKeepsTheOrder(t *testing.T) {
	bubble(t, "0s", minutely+"jitter: 1h", func(t *testing.T, w *world) {
		sleep(100*time.Minute - 1)
		late := map[int]bool{}
		page, err := w.List(t.Context(), workflow.ExecutionQuery{Workflow: "work", Limit: 1000})
		require.NoError(t, err)
		require.Len(t, page.Executions, 99)
		slices.Reverse(page.Executions)
		for i, x := range page.Executions {
			due := time.Date(2000, 1, 1, 0, i+1, 0, 0, time.UTC)
			assert.Equal(t, due.Format(time.RFC3339), x.Attributes["interval.end"])
			d := x.Started.Sub(due)
			assert.True(t, d >= 0 && d < time.Minute, "late by %v", d)
			late[int(d/(10*time.Second))] = true
		}
		assert.Len(t, late, 6, "spread over the minute")
	})
}

func TestBoundsAndEnd(t *testing.T) {
	bubble(t, "1s", minutely+"from: 2000-01-01T00:03:00Z\nuntil: 2000-01-01T00:05:00Z", func(t *testing.T, w *world) {
		next, err := w.Query(t.Context(), w.ref, "next", workflow.Payload{})
		require.NoError(t, err)
		var times []string
		require.NoError(t, next.Unmarshal(t.Context(), &times))
		assert.Equal(t, []string{"2000-01-01T00:03:00Z", "2000-01-01T00:04:00Z", "2000-01-01T00:05:00Z"}, times)
		x, err := w.Wait(t.Context(), w.ref)
		require.NoError(t, err)
		assert.Equal(t, workflow.StatusSucceeded, x.Status)
		var c schedule.Counters
		require.NoError(t, x.Output.Unmarshal(t.Context(), &c))
		assert.Equal(t, schedule.Counters{Started: 3, Succeeded: 3}, c)
		assert.Equal(t, 5*time.Minute+time.Second, x.Closed.Sub(x.Started))
	})
}

func TestEndsWhenNothingFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, "1s", minutely+"until: 1999-01-01T00:00:00Z")
		defer w.close()
		_, err := w.Wait(t.Context(), w.ref)
		require.NoError(t, err)
	})
	bubble(t, "1s", minutely+"until: 2000-01-01T00:05:00Z", func(t *testing.T, w *world) {
		w.control(workflow.ActionSuspend)
		_, err := w.Wait(t.Context(), w.ref)
		require.NoError(t, err)
	})
}

func TestCancelLeavesRunsAlone(t *testing.T) {
	bubble(t, "10m", minutely, func(t *testing.T, w *world) {
		sleep(90 * time.Second)
		w.control(workflow.ActionCancel)
		x, err := w.Wait(t.Context(), w.ref)
		require.NoError(t, err)
		assert.Equal(t, workflow.StatusCanceled, x.Status)
		sleep(10 * time.Minute)
		assert.Equal(t, []string{"00:01 succeeded"}, w.runs())
	})
}

func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, "0s", minutely)
		defer w.close()
		require.NoError(t, w.Close())
		w.config.Limits = engine.Limits{Snapshot: 10, History: 100}
		w.open()
		sleep(24 * time.Hour)
		x, err := w.Get(t.Context(), w.ref)
		require.NoError(t, err)
		assert.Greater(t, x.Logs, 10, "the engine continues the log")
		assert.Equal(t, schedule.Counters{Started: 1440, Succeeded: 1440}, w.counters())
	})
}

func TestQueryFaults(t *testing.T) {
	bubble(t, "1s", minutely, func(t *testing.T, w *world) {
		for name, class := range map[string]error{"next": faas.ErrInvalidArgument, "unknown": faas.ErrNotFound} {
			_, err := w.Query(t.Context(), w.ref, name, workflow.JSON(`"many"`))
			require.ErrorIs(t, err, class)
		}
	})
}

func FuzzCompile(f *testing.F) {
	f.Add("workflow: w\ncron: '0 0 * * *'\ntimezone: Europe/Paris\noverlap: allow\njitter: 3s\ncatchup: 3s\ninput: {a: 1}")
	f.Add(`{"workflow": "w", "every": "1h", "from": "2026-01-01T00:00:00Z"}`)
	f.Add(`guard of a run: {"workflow": {"Name": "w"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		d := &workflow.Definition{Ref: faas.Ref{Name: "w"}, Language: "schedule", Source: text}
		p, err := schedule.Language().Compile(d)
		if err != nil {
			require.ErrorIs(t, err, faas.ErrInvalidArgument)
			return
		}
		e := workflow.Event{Seq: 1, Kind: workflow.ExecutionStarted, Time: programtest.Epoch(), Start: &workflow.Start{Definition: *d}}
		s, commands, err := p.Step(nil, &e)
		require.NoError(t, err)
		require.NotEmpty(t, commands)
		data, err := p.Snapshot(s)
		require.NoError(t, err)
		require.True(t, json.Valid(data))
		_, err = p.Restore(data, nil)
		require.NoError(t, err)
	})
}

func TestClockJumpsDoubleNothing(t *testing.T) {
	for jump, want := range map[time.Duration]schedule.Counters{
		-24 * time.Hour: {Started: 5, Succeeded: 5},                 // the day that comes again is waited for
		24 * time.Hour:  {Started: 11, Succeeded: 11, Missed: 1435}, // all but the last five minutes is too late
	} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := begin(t, "0s", minutely+"catchup: 5m\noverlap: allow")
				defer w.close()
				require.NoError(t, w.Close())
				var off atomic.Int64
				w.config.Clock = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
				w.open()
				sleep(5*time.Minute + 30*time.Second)
				off.Store(int64(jump))
				sleep(time.Minute)
				assert.Equal(t, want, w.counters())
				if jump < 0 {
					sleep(24 * time.Hour)
					assert.Equal(t, schedule.Counters{Started: 6, Succeeded: 6}, w.counters())
				}
			})
		})
	}
}
