package schedule

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// Times are the times of a schedule: a cron spec in a time zone, or an interval. Immutable.
type Times struct {
	every time.Duration // or:
	cron  cron.Schedule // in UTC, applied to the readings of the zone's clock
	zone  *time.Location
	// real: the hour is "*", so every hour that there is counts, and not every hour on the clock.
	real bool
}

// searchYears is how far ahead a time is looked for: the 29th of February on a given day of the week comes every 40 years at most.
const searchYears = 41

var parser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom).WithMaxSearchYears(searchYears)

// ParseCron reads a spec of five fields: minute, hour, day of month, month, day of week. If both days are restricted
// either is enough, as in every cron. The error says what is wrong; a spec that never matches is wrong.
func ParseCron(spec string, zone *time.Location) (*Times, error) {
	fields := strings.Fields(spec)
	if len(fields) != 5 {
		return nil, fmt.Errorf("has %d fields, not five: minute hour day-of-month month day-of-week", len(fields))
	}
	for _, f := range fields {
		if strings.ContainsAny(f, "=@") {
			return nil, fmt.Errorf("%.40q is not a field; the zone is named by timezone", f)
		}
		if slices.Contains(strings.Split(f, ","), "") {
			return nil, fmt.Errorf("%.40q has an empty item", f)
		}
	}
	schedule, err := parser.Parse(spec)
	if err != nil {
		return nil, err
	}
	s, ok := schedule.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("is not a spec of five fields")
	}
	s.Location = time.UTC
	t := &Times{cron: s, zone: zone, real: fields[1] == "*"}
	if t.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("never matches")
	}
	return t, nil
}

// Every are the multiples of an interval since the Unix epoch. It is at least a second.
func Every(d time.Duration) (*Times, error) {
	if d < time.Second {
		return nil, fmt.Errorf("%v is less than a second", d)
	}
	return &Times{every: d, zone: time.UTC}, nil
}

// Next returns the first time after t, in UTC; zero if there is none.
func (t *Times) Next(after time.Time) time.Time {
	if t.every > 0 {
		if after.Year() < 1700 || after.Year() > 2200 {
			return time.Time{} // not to be counted in nanoseconds
		}
		since := after.UnixNano()
		n := since / int64(t.every)
		if since < 0 && since%int64(t.every) != 0 {
			n--
		}
		if n >= math.MaxInt64/int64(t.every)-1 {
			return time.Time{}
		}
		return time.Unix(0, (n+1)*int64(t.every)).UTC()
	}
	if t.real {
		return t.nextReal(after)
	}
	reading := onClock(after.In(t.zone))
	for {
		if reading = t.cron.Next(reading); reading.IsZero() {
			return time.Time{}
		}
		if at := t.when(reading); at.After(after) {
			return at.UTC()
		}
	}
}

// nextReal goes by the hours that there are: between two changes of the clock its offset is constant.
func (t *Times) nextReal(after time.Time) time.Time {
	for period, from := after.In(t.zone), after; ; {
		_, offset := period.Zone()
		ahead := time.Duration(offset) * time.Second
		reading := t.cron.Next(from.UTC().Add(ahead))
		if reading.IsZero() {
			return time.Time{}
		}
		_, end := period.ZoneBounds()
		if at := reading.Add(-ahead); end.IsZero() || at.Before(end) {
			return at
		}
		period, from = end.In(t.zone), end.Add(-1)
	}
}

// onClock is what the zone's clock shows, as a time in UTC.
func onClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// when is the time at which the zone's clock shows the reading: the first time if it shows it twice, the
// end of the gap if it never does.
func (t *Times) when(reading time.Time) time.Time {
	guess := time.Date(reading.Year(), reading.Month(), reading.Day(), reading.Hour(), reading.Minute(), reading.Second(), 0, t.zone)
	start, end := guess.ZoneBounds()
	first := time.Time{}
	for _, near := range []time.Time{start.Add(-1), guess, end} {
		if near.IsZero() || near.Equal(time.Time{}.Add(-1)) {
			continue // no change of the clock on that side
		}
		_, offset := near.In(t.zone).Zone()
		at := reading.Add(-time.Duration(offset) * time.Second)
		if onClock(at.In(t.zone)).Equal(reading) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	switch {
	case !first.IsZero():
		return first
	case onClock(guess).After(reading):
		return start
	}
	return end
}

// count is how many of the times are after a and not after b.
func (t *Times) count(a, b time.Time) (n int) {
	if t.every > 0 && a.Before(b) {
		if first := t.Next(a); !first.IsZero() && !first.After(b) {
			return 1 + int(b.Sub(first)/t.every)
		}
		return 0
	}
	for at := t.Next(a); !at.IsZero() && !at.After(b); at = t.Next(at) {
		n++
	}
	return n
}

// between calls f with the times in [from, to) until it returns false.
func (t *Times) between(from, to time.Time, f func(at time.Time) bool) {
	for at := t.Next(from.Add(-1)); !at.IsZero() && at.Before(to) && f(at); at = t.Next(at) {
	}
}

// before returns the last time before one of the times, which starts its data interval; zero if there is none.
func (t *Times) before(at time.Time) (last time.Time) {
	if t.every > 0 {
		return at.Add(-t.every)
	}
	// The spec has no way back: look from further and further behind.
	for back := time.Minute; back <= searchYears*366*24*time.Hour; back *= 8 {
		for next := t.Next(at.Add(-back)); !next.IsZero() && next.Before(at); next = t.Next(next) {
			last = next
		}
		if !last.IsZero() {
			return last
		}
	}
	return time.Time{}
}
