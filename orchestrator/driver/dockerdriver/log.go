package dockerdriver

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Logs implements driver.LogSource. The engine keeps the lines; what its bounds have cost is not
// counted, so LogLine.Dropped is 0.
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
		err = d.readLogs(ctx, i.container, o, "", func(l driver.LogLine) bool { return yield(l, nil) })
		switch {
		case errors.Is(err, errLeft):
			return
		case ctx.Err() != nil:
			fail(faas.ContextError(ctx, component, "logs", id))
			return
		case status(err) == http.StatusNotFound, status(err) == http.StatusConflict: // it was stopped meanwhile
		case err != nil:
			select {
			case <-i.gone: // and the stream was cut
			default:
				fail(engineError(ctx, "logs", id, err))
				return
			}
		}
		if !o.Follow {
			return
		}
		select { // the engine's stream ends with the process, this one with the task
		case <-i.gone:
		case <-ctx.Done():
			fail(faas.ContextError(ctx, component, "logs", id))
		}
	}
}

// errLeft: the reader wants no more.
var errLeft = errors.New("the reader left")

// readLogs reads the lines of a container. stream is "stdout", "stderr" or empty for both.
func (d *Driver) readLogs(ctx context.Context, container string, o driver.LogOptions, stream string, yield func(driver.LogLine) bool) error {
	q := url.Values{"timestamps": {"1"}, "stdout": {"1"}, "stderr": {"1"}}
	if stream != "" {
		q = url.Values{"timestamps": {"1"}, stream: {"1"}}
	}
	if o.Tail > 0 {
		q.Set("tail", strconv.Itoa(o.Tail))
	}
	if o.Follow {
		q.Set("follow", "1")
	}
	body, err := d.engine.open(ctx, http.MethodGet, "/containers/"+container+"/logs", q, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	return splitFrames(body, yield)
}

// Bounds of what is told of stderr when an instance has ended, and of the wait for it: the end itself
// must not wait long for words that are for people.
const (
	lastWordsTime  = 2 * time.Second
	lastWordsLines = 20
	lastWordsBytes = 2 << 10
)

// stderr is the end of what the container wrote to stderr, for people.
func (d *Driver) stderr(ctx context.Context, container string) string {
	ctx, cancel := context.WithTimeout(ctx, lastWordsTime)
	defer cancel()
	var lines []string
	err := d.readLogs(ctx, container, driver.LogOptions{Tail: lastWordsLines}, "stderr", func(l driver.LogLine) bool {
		lines = append(lines, l.Text)
		return true
	})
	if err != nil {
		d.log.Debug("cannot read what a container said last", "container", container, "error", err)
	}
	text := strings.Join(lines, "\n")
	if over := len(text) - lastWordsBytes; over > 0 {
		text = text[over:]
	}
	return strings.TrimSpace(strings.ToValidUTF8(text, "?"))
}

// splitFrames makes lines of the engine's multiplexed stream
// (https://docs.docker.com/reference/api/engine, "Attach to a container"): frames of one stream each,
// with a header of 8 bytes: the stream, three zeros, the length. Each frame begins with a time and is
// a line, or a part of a line when it does not end with a newline. Its memory is bounded by two lines.
func splitFrames(r io.Reader, yield func(driver.LogLine) bool) error {
	in := bufio.NewReaderSize(r, 32<<10)
	var partial [3]*driver.LogLine // by stream
	names := [3]string{"stdin", "stdout", "stderr"}
	flush := func(stream byte) bool {
		l := partial[stream]
		partial[stream] = nil
		return l == nil || yield(*l)
	}
	for {
		var head [8]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			for s := range partial {
				if !flush(byte(s)) {
					return errLeft
				}
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		stream, left := head[0], int64(binary.BigEndian.Uint32(head[4:]))
		if int(stream) >= len(names) || head[1]|head[2]|head[3] != 0 {
			return faas.Errorf(component, "logs", "", faas.ErrCorrupt, "the engine's stream has a frame of the kind %d", stream)
		}
		body := io.LimitReader(in, left)
		const stampBytes = len("2006-01-02T15:04:05.000000000Z ")
		text, err := io.ReadAll(io.LimitReader(body, int64(stampBytes+MaxLine+1)))
		if err == nil {
			_, err = io.Copy(io.Discard, body)
		}
		if err == nil && int64(len(text)) < min(left, int64(stampBytes+MaxLine+1)) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		stamp, rest, _ := strings.Cut(string(text), " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			return faas.Errorf(component, "logs", "", faas.ErrCorrupt, "the engine's stream has a frame without a time")
		}
		l := partial[stream]
		if l == nil {
			l = &driver.LogLine{Time: at, Stream: names[stream]}
			partial[stream] = l
		}
		line, ended := strings.CutSuffix(rest, "\n")
		if over := len(l.Text) + len(line) - MaxLine; over > 0 {
			line, l.Truncated = line[:len(line)-over], true
		}
		l.Text += line
		if ended && !flush(stream) {
			return errLeft
		}
	}
}
