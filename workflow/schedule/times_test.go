package schedule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/workflow/schedule"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	require.NoError(t, err)
	return z
}

// series are the times of a spec after one, as its clock shows them.
func series(t *testing.T, spec string, in *time.Location, after string, n int) (all []string) {
	t.Helper()
	times, err := schedule.ParseCron(spec, in)
	require.NoError(t, err, spec)
	at, err := time.ParseInLocation("2006-01-02 15:04", after, in)
	require.NoError(t, err)
	for range n {
		at = times.Next(at)
		all = append(all, at.In(in).Format("01-02 15:04 -0700"))
	}
	return all
}

func TestClockChanges(t *testing.T) {
	newYork, samoa, lordHowe := zone(t, "America/New_York"), zone(t, "Pacific/Apia"), zone(t, "Australia/Lord_Howe")
	for _, c := range []struct {
		name, spec string
		in         *time.Location
		after      string
		want       []string
	}{
		{"spring gap: once after it", "30 2 * * *", newYork, "2026-03-07 12:00", []string{"03-08 03:00 -0400", "03-09 02:30 -0400"}},
		{"several readings in the gap: once after it", "*/20 2 * * *", newYork, "2026-03-08 00:00", []string{"03-08 03:00 -0400", "03-09 02:00 -0400"}},
		{"gap and the hour after it: each once", "0 2,3 * * *", newYork, "2026-03-08 00:00", []string{"03-08 03:00 -0400", "03-09 02:00 -0400"}},
		{"autumn fold: once, the first time", "30 1 * * *", newYork, "2026-10-31 12:00", []string{"11-01 01:30 -0400", "11-02 01:30 -0500"}},
		{"autumn fold, several readings", "*/30 1 * * *", newYork, "2026-11-01 00:00", []string{"11-01 01:00 -0400", "11-01 01:30 -0400", "11-02 01:00 -0500"}},
		{"every hour: both of the fold", "30 * * * *", newYork, "2026-11-01 00:00", []string{"11-01 00:30 -0400", "11-01 01:30 -0400", "11-01 01:30 -0500", "11-01 02:30 -0500"}},
		{"every hour: none in the gap", "30 * * * *", newYork, "2026-03-08 00:00", []string{"03-08 00:30 -0500", "03-08 01:30 -0500", "03-08 03:30 -0400"}},
		{"on the change itself", "0 * * * *", newYork, "2026-03-08 01:30", []string{"03-08 03:00 -0400", "03-08 04:00 -0400"}},
		{"every minute: one after the other", "*/15 * * * *", newYork, "2026-11-01 01:40", []string{"11-01 01:45 -0400", "11-01 01:00 -0500", "11-01 01:15 -0500"}},
		{"a day that there was not", "0 12 * * *", samoa, "2011-12-29 13:00", []string{"12-31 00:00 +1400", "12-31 12:00 +1400"}},
		{"a gap of half an hour", "15 2 * * *", lordHowe, "2026-10-03 12:00", []string{"10-04 02:30 +1100", "10-05 02:15 +1100"}},
		{"a fold of half an hour", "45 1 * * *", lordHowe, "2026-04-04 12:00", []string{"04-05 01:45 +1100", "04-06 01:45 +1030"}},
	} {
		assert.Equal(t, c.want, series(t, c.spec, c.in, c.after, len(c.want)), c.name)
	}
}

func TestCron(t *testing.T) {
	for spec, want := range map[string][]string{
		"0 9 * * mon-fri": {"01-02 09:00 +0000", "01-05 09:00 +0000"},
		"0 0 29 2 *":      {"02-29 00:00 +0000"},
		"0 0 13 * fri":    {"01-02 00:00 +0000", "01-09 00:00 +0000", "01-13 00:00 +0000"}, // either day is enough
		"5-7 0 1 1,7 *":   {"07-01 00:05 +0000", "07-01 00:06 +0000", "07-01 00:07 +0000"},
		"0 0 * * 7":       {"01-04 00:00 +0000"},
	} {
		assert.Equal(t, want, series(t, spec, time.UTC, "2026-01-01 12:00", len(want)), spec)
	}
	for _, spec := range []string{
		"", "* * * *", "* * * * * *", "0 0 * * * * *", "TZ=0", "TZ=UTC * * * * *", "TZ=UTC * * * *", "CRON_TZ= 0 0 * * *", "@daily", "@every 5s", "@every 0s",
		"0 0 31 2 *", "0 0 30,31 2 *", "0-59/999 * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
		"*/0 * * * *", "-1 * * * *", "1- * * * *", "a * * * *", "1,,2 * * * *", "H * * * *", "* * L * *", "* * * * mon#1", "* * 15W * *", "? ? ? ? ??",
	} {
		_, err := schedule.ParseCron(spec, time.UTC)
		assert.Error(t, err, "%q", spec)
	}
}

func TestEvery(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Second, 1, time.Second - 1} {
		_, err := schedule.Every(d)
		assert.Error(t, err, d)
	}
	times, err := schedule.Every(15 * time.Minute)
	require.NoError(t, err)
	at := time.Date(2026, 1, 1, 0, 14, 59, 999, time.UTC)
	for _, want := range []string{"00:15", "00:30", "00:45"} {
		at = times.Next(at)
		assert.Equal(t, want, at.Format("15:04"))
	}
	assert.Equal(t, time.Unix(-900, 0).UTC(), times.Next(time.Unix(-901, 0)))
	assert.Zero(t, times.Next(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
}

// Whatever is read, the times grow, and none is left out or doubled on the way through the year's clock changes.
func FuzzCron(f *testing.F) {
	for _, spec := range []string{"30 2 * * *", "*/20 1-3 * * *", "30 * * * *", "0 0 29 2 *", "0 0 31 2 *", "TZ=0", "@every -1s", "59-0/7 22-2 1-31/2 */3 sun"} {
		f.Add(spec, int64(1_772_900_000), "America/New_York")
		f.Add(spec, int64(1_793_500_000), "Australia/Lord_Howe")
	}
	f.Fuzz(func(t *testing.T, spec string, from int64, name string) {
		in, err := time.LoadLocation(name)
		if err != nil {
			return
		}
		times, err := schedule.ParseCron(spec, in)
		if err != nil {
			return
		}
		at := time.Unix(from%(1<<33), 0)
		for range 60 {
			next := times.Next(at)
			if next.IsZero() {
				return
			}
			require.True(t, next.After(at), "%v after %v", next, at)
			middle := at.Add(next.Sub(at) / 2)
			require.True(t, times.Next(middle).Equal(next), "from %v the next is %v, and from %v it is %v", at, next, middle, times.Next(middle))
			at = next
		}
	})
}
