package builder

import (
	"io"
	"sync"
)

// buildLog passes the log on as it comes and keeps its end.
type buildLog struct {
	mu      sync.Mutex
	out     io.Writer // nil once it failed
	keep    []byte
	max     int
	dropped int64
}

// Write never fails: a reader that went away must not fail the build.
func (l *buildLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out != nil {
		if _, err := l.out.Write(p); err != nil {
			l.out = nil
		}
	}
	tail := p
	if over := len(tail) - l.max; over > 0 {
		l.dropped += int64(over)
		tail = tail[over:]
	}
	if over := len(l.keep) + len(tail) - l.max; over > 0 {
		l.dropped += int64(over)
		l.keep = append(l.keep[:0], l.keep[over:]...)
	}
	l.keep = append(l.keep, tail...)
	return len(p), nil
}

func (l *buildLog) kept() (string, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.keep), l.dropped
}
