//go:build linux

package procdriver

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas/orchestrator/driver"
)

// chunks are the buffers of those readers that have something to read.
var chunks = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// splitter makes lines of one stream. Its memory is bounded by two lines.
type splitter struct {
	log    *taskLog
	stream string

	partial []byte // of a line whose end has not come yet
	cut     bool   // partial is full: the rest of its line is thrown away

	held bool           // the last line was dropped: it is
	last driver.LogLine // this one, with the text
	text []byte
}

// write takes the next bytes of the stream.
func (s *splitter) write(chunk []byte) {
	now := time.Now()
	if s.stream == "stderr" {
		s.log.addTail(chunk)
	}
	for len(chunk) > 0 {
		piece, rest, ended := bytes.Cut(chunk, []byte("\n"))
		chunk = rest
		line := piece
		if len(s.partial) > 0 || s.cut || !ended {
			room := MaxLine - len(s.partial)
			s.partial = append(s.partial, piece[:min(room, len(piece))]...)
			s.cut = s.cut || len(piece) > room
			line = s.partial
		} else if len(line) > MaxLine {
			line, s.cut = line[:MaxLine], true
		}
		if ended {
			s.line(line, now)
		}
	}
}

func (s *splitter) line(text []byte, now time.Time) {
	if s.held = !s.log.add(s.stream, text, s.cut, now); s.held {
		s.text = append(s.text[:0], text...)
		s.last = driver.LogLine{Time: now, Stream: s.stream, Truncated: s.cut}
	} else {
		s.text = nil
	}
	s.cut = false
	if s.partial = s.partial[:0]; cap(s.partial) > 4<<10 {
		s.partial = nil // an idle instance holds little
	}
}

// end takes a last line without a newline, and keeps the last line in any case.
func (s *splitter) end() {
	if len(s.partial) > 0 {
		s.line(s.partial, time.Now())
	}
	if s.held {
		s.last.Text = string(s.text)
		s.log.restore(s.last)
	}
}

// capture reads the stream until its end and closes it. While there is nothing to
// read it holds no buffer and no thread.
func capture(from *os.File, log *taskLog, stream string) {
	defer from.Close()
	s := &splitter{log: log, stream: stream}
	defer s.end()
	conn, err := from.SyscallConn()
	if err != nil {
		return
	}
	for ended := false; !ended; {
		err := conn.Read(func(fd uintptr) bool {
			buf := chunks.Get().(*[32 << 10]byte)
			defer chunks.Put(buf)
			n, err := unix.Read(int(fd), buf[:])
			switch {
			case n > 0:
				s.write(buf[:n])
			case errors.Is(err, unix.EAGAIN):
				return false
			case !errors.Is(err, unix.EINTR):
				ended = true
			}
			return true
		})
		if err != nil {
			return // closed
		}
	}
}

// logPipe makes a pipe for the output of a process: the end that it gets reads as well as it
// writes, so that the pipe has a reader for as long as it has a writer. Without us the process is
// held up once the pipe is full, and not killed by SIGPIPE; and a successor can open it again.
func logPipe() (ours *os.File, theirs int, err error) {
	ours, w, err := pipe(true)
	if err != nil {
		return nil, -1, err
	}
	defer unix.Close(w)
	theirs, err = unix.Open("/proc/self/fd/"+strconv.Itoa(w), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = ours.Close()
		return nil, -1, err
	}
	return ours, theirs, nil
}

// pipe makes a pipe whose one end, ours, is in the runtime's poller, and whose other
// end is for a process.
func pipe(weRead bool) (ours *os.File, theirs int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, -1, err
	}
	mine, theirs := fds[0], fds[1]
	if !weRead {
		mine, theirs = theirs, mine
	}
	if err := unix.SetNonblock(mine, true); err != nil {
		_ = unix.Close(mine)
		_ = unix.Close(theirs)
		return nil, -1, err
	}
	return os.NewFile(uintptr(mine), "pipe"), theirs, nil
}
