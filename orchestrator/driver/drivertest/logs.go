package drivertest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func logClauses() []clause {
	return []clause{
		{"declared", logsDeclared},
		{"lines", logsLines},
		{"tail", logsTail},
		{"follow", logsFollow},
		{"errors", logsErrors},
	}
}

// logsDeclared: the power is there exactly when Info says so.
func logsDeclared(f *fixture) {
	declared := f.info().Logs
	src, found := driver.Find[driver.LogSource](f.d)
	switch {
	case declared && !found:
		f.Error("Info declares logs, and driver.Find finds no LogSource")
	case !declared && found: // a wrapper may have the method for drivers that do
		st := f.serve()
		_, err := readLogs(f.ctx, src, st.ID, driver.LogOptions{})
		f.wantClass("Logs of a driver that does not declare them", err, faas.ErrUnimplemented)
	}
}

func (f *fixture) logs() driver.LogSource {
	f.Helper()
	src, _ := driver.Find[driver.LogSource](f.d)
	if src == nil || !f.info().Logs {
		f.Skip("the driver does not declare logs")
	}
	return src
}

func readLogs(ctx context.Context, src driver.LogSource, id string, o driver.LogOptions) (lines []driver.LogLine, err error) {
	for l, err := range src.Logs(ctx, id, o) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// write makes the instance write a line.
func (f *fixture) write(st driver.Status, stream, text string) {
	f.Helper()
	f.text(st.Endpoint, "/log", url.Values{"text": {text}, "stream": {stream}}.Encode(), "")
}

// waitLogs waits until n lines of the kit's are kept (what an instance wrote may take a
// moment to be read) and returns them.
func (f *fixture) waitLogs(src driver.LogSource, id string, n int) []driver.LogLine {
	f.Helper()
	var lines []driver.LogLine
	f.eventually(fmt.Sprintf("%d lines in the logs", n), func() bool {
		all, err := readLogs(f.ctx, src, id, driver.LogOptions{})
		if err != nil {
			f.Fatalf("Logs: %v", err)
		}
		lines = slices.DeleteFunc(all, func(l driver.LogLine) bool { return !strings.HasPrefix(l.Text, "kit ") })
		return len(lines) >= n
	})
	return lines
}

func texts(lines []driver.LogLine) (all []string) {
	for _, l := range lines {
		all = append(all, l.Text)
	}
	return all
}

func logsLines(f *fixture) {
	src := f.logs()
	st, other := f.start(f.task(Log)), f.start(f.task(Log))
	const odd = "kit \u00e9 \"quoted\" {json}\ttab"
	f.write(st, "stdout", "kit one")
	f.waitLogs(src, st.ID, 1)
	f.write(st, "stderr", odd)
	f.waitLogs(src, st.ID, 2)
	f.write(other, "stdout", "kit other")
	f.waitLogs(src, other.ID, 1)
	lines := f.waitLogs(src, st.ID, 2)
	if got := texts(lines); !slices.Equal(got, []string{"kit one", odd}) {
		f.Fatalf("Logs: %q", got)
	}
	if lines[0].Stream != "stdout" || lines[1].Stream != "stderr" {
		f.Errorf("Logs: streams %q and %q, want stdout and stderr", lines[0].Stream, lines[1].Stream)
	}
	for _, l := range lines {
		if l.Truncated || l.Dropped != 0 || l.Time.IsZero() {
			f.Errorf("Logs: %+v, want a time, and nothing cut or dropped", l)
		}
	}
}

func logsTail(f *fixture) {
	src := f.logs()
	st := f.start(f.task(Log))
	for i := range 3 {
		f.write(st, "stdout", fmt.Sprint("kit ", i))
	}
	f.waitLogs(src, st.ID, 3)
	lines, err := readLogs(f.ctx, src, st.ID, driver.LogOptions{Tail: 2})
	if got := texts(lines); err != nil || !slices.Equal(got, []string{"kit 1", "kit 2"}) {
		f.Errorf("Logs with Tail 2: %q, %v, want the last two of three lines", got, err)
	}
}

// logsFollow: the kept lines, each new one, and the end with the task's.
func logsFollow(f *fixture) {
	src := f.logs()
	st := f.start(f.task(Log))
	f.write(st, "stdout", "kit before")
	f.waitLogs(src, st.ID, 1)
	var got []string
	f.within("Logs with Follow", func() {
		for l, err := range src.Logs(f.ctx, st.ID, driver.LogOptions{Follow: true}) {
			if err != nil {
				f.Errorf("Logs with Follow: %v", err)
				return
			}
			if !strings.HasPrefix(l.Text, "kit ") {
				continue
			}
			got = append(got, l.Text)
			switch l.Text {
			case "kit before":
				f.write(st, "stdout", "kit after")
			case "kit after":
				go f.d.Stop(f.ctx, st.ID, 0)
			}
		}
	})
	if !slices.Equal(got, []string{"kit before", "kit after"}) {
		f.Errorf("Logs with Follow: %q, want the line before and the line after, and then the end", got)
	}
}

func logsErrors(f *fixture) {
	src := f.logs()
	_, err := readLogs(f.ctx, src, "no-such-task", driver.LogOptions{})
	f.wantClass("Logs of an unknown task", err, faas.ErrNotFound)
	st := f.start(f.task(Log))
	ctx, cancel := context.WithTimeout(f.ctx, 50*time.Millisecond)
	defer cancel()
	f.within("Logs with a deadline", func() {
		_, err := readLogs(ctx, src, st.ID, driver.LogOptions{Follow: true})
		f.wantClass("Logs with Follow whose deadline passes", err, faas.ErrTimeout)
	})
	f.stop(st.ID, 0)
	_, err = readLogs(f.ctx, src, st.ID, driver.LogOptions{})
	f.wantClass("Logs of a stopped task", err, faas.ErrNotFound)
	if err := f.d.Close(); err != nil {
		f.Errorf("Close: %v", err)
	}
	if _, err = readLogs(f.ctx, src, st.ID, driver.LogOptions{}); !errors.Is(err, faas.ErrClosed) {
		f.Errorf("Logs after Close: got %v, want %v", err, faas.ErrClosed)
	}
}
