//go:build linux

package procdriver

import (
	"context"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// taskLog keeps the newest lines of one task. Safe for concurrent use.
type taskLog struct {
	keep, rate int64

	mu      sync.Mutex
	lines   []entry // the oldest first
	size    int64   // what lines cost together
	kept    int64   // lines that were ever kept
	dropped int64   // lines that were not
	tokens  float64
	refill  time.Time
	tail    []byte // the end of stderr, whatever was dropped
	closed  bool
	changed chan struct{} // closed at the next change; nil while nobody waits
}

type entry struct {
	driver.LogLine
	number  int64 // its place among all lines that were ever kept, from 1
	dropped int64 // how many were dropped before it
}

const (
	lineCost = 64      // of a line beside its bytes
	maxTail  = 2 << 10 // of stderr, in an Exit's Detail
)

func newTaskLog(keep, rate int64) *taskLog {
	return &taskLog{keep: keep, rate: rate, tokens: float64(rate)}
}

// add takes a line, or drops it and returns false if it comes too fast.
func (l *taskLog) add(stream string, text []byte, truncated bool, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.refill.IsZero() {
		l.tokens = min(l.tokens+now.Sub(l.refill).Seconds()*float64(l.rate), float64(l.rate))
	}
	l.refill = now
	cost := float64(len(text) + lineCost)
	if l.tokens < min(cost, float64(l.rate)) {
		l.dropped++
		return false
	}
	l.tokens -= cost
	l.put(driver.LogLine{Time: now, Stream: stream, Text: string(text), Truncated: truncated})
	return true
}

// restore keeps a line that add has dropped.
func (l *taskLog) restore(line driver.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped--
	l.put(line)
}

func (l *taskLog) put(line driver.LogLine) {
	l.kept++
	l.lines = append(l.lines, entry{line, l.kept, l.dropped})
	l.size += int64(len(line.Text) + lineCost)
	for l.size > l.keep && len(l.lines) > 1 {
		l.size -= int64(len(l.lines[0].Text) + lineCost)
		l.lines[0] = entry{}
		l.lines = l.lines[1:]
	}
	l.wake()
}

func (l *taskLog) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// addTail keeps the last bytes of stderr.
func (l *taskLog) addTail(chunk []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(chunk) >= maxTail {
		l.tail = append(l.tail[:0], chunk[len(chunk)-maxTail:]...)
		return
	}
	if over := len(l.tail) + len(chunk) - maxTail; over > 0 {
		l.tail = l.tail[:copy(l.tail, l.tail[over:])]
	}
	l.tail = append(l.tail, chunk...)
}

// lastWords is the end of stderr in whole lines, for people.
func (l *taskLog) lastWords() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := string(l.tail)
	if len(s) == maxTail {
		if _, after, ok := strings.Cut(s, "\n"); ok && strings.TrimSpace(after) != "" {
			s = after
		}
	}
	return strings.TrimSpace(strings.ToValidUTF8(s, "?"))
}

// close ends the sequences of those who follow.
func (l *taskLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

// next returns kept lines after the entry last, or, if there are none, what to wait for; nil when
// there will be no more. With last nil it begins: with the newest tail lines, all if that is 0.
// after is the entry that the first of the lines follows.
func (l *taskLog) next(last *entry, tail int) (lines []entry, after *entry, wait <-chan struct{}) {
	const batch = 128
	l.mu.Lock()
	defer l.mu.Unlock()
	skip := 0
	switch {
	case last != nil: // lines are numbered without gaps
		skip = max(0, len(l.lines)-int(l.kept-last.number))
	case tail > 0 && len(l.lines) > tail:
		skip = len(l.lines) - tail
		before := l.lines[skip-1]
		last = &before
	default:
		last = &entry{}
	}
	if lines = l.lines[skip:]; len(lines) > 0 {
		return append([]entry(nil), lines[:min(len(lines), batch)]...), last, nil
	}
	if l.closed {
		return nil, last, nil
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return nil, last, l.changed
}

// Logs implements driver.LogSource.
func (d *Driver) Logs(ctx context.Context, id string, o driver.LogOptions) iter.Seq2[driver.LogLine, error] {
	return func(yield func(driver.LogLine, error) bool) {
		fail := func(err error) { yield(driver.LogLine{}, err) }
		if o.Tail < 0 {
			fail(faas.Errorf(component, "logs", id, faas.ErrInvalidArgument, "Tail is negative"))
			return
		}
		i, err := d.lookup("logs", id)
		if err != nil {
			fail(err)
			return
		}
		for last := (*entry)(nil); ; {
			lines, after, wait := i.log.next(last, o.Tail)
			last = after
			for _, e := range lines {
				if ctx.Err() != nil {
					break
				}
				// Those between that were kept once have had to go since.
				e.Dropped = e.number - last.number - 1 + max(0, e.dropped-last.dropped)
				last = &e
				if !yield(e.LogLine, nil) {
					return
				}
			}
			switch {
			case ctx.Err() != nil:
				fail(faas.ContextError(ctx, component, "logs", id))
				return
			case len(lines) > 0:
				continue
			case wait == nil || !o.Follow:
				return
			}
			select {
			case <-wait:
			case <-ctx.Done():
			}
		}
	}
}
