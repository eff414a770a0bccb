package programtest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

var snapshotClauses = []clause{
	{Name: "snapshot/unimplemented", Check: func(tb testing.TB, h Harness) {
		if !h.NoSnapshots {
			tb.Skip("the language has snapshots")
		}
		p, r := h.play(tb, h.Cases[0])
		s, _, err := fold(p, nil, r.Events[:1])
		if err != nil {
			tb.Fatal(err)
		}
		_, err = p.Snapshot(s)
		wantClass(tb, err, faas.ErrUnimplemented, "Snapshot")
		release(p, s)
	}},
	{Name: "snapshot/at-any-point", Check: func(tb testing.TB, h Harness) {
		eachSnapshot(tb, h, func(what string, p workflow.Program, r *Record, at int, s workflow.State, b []byte) {
			end, rest, err := fold(p, s, r.Events[at:])
			if err != nil {
				tb.Errorf("%s: %v", what, err)
				return
			}
			wantSame(tb, what, rest, r.Commands[at:])
			release(p, end)
		})
	}},
	{Name: "snapshot/round-trip", Check: func(tb testing.TB, h Harness) {
		eachSnapshot(tb, h, func(what string, p workflow.Program, r *Record, at int, s workflow.State, b []byte) {
			again, err := p.Snapshot(s)
			if err != nil || !bytes.Equal(again, b) {
				tb.Errorf("%s: the snapshot of the restored state is another one (%v):\n got %q\nwant %q", what, err, again, b)
			}
			live, _, err := fold(p, nil, r.Events)
			if err != nil {
				tb.Fatal(err)
			}
			want, err := p.Snapshot(live)
			if err != nil {
				tb.Fatalf("%s: Snapshot: %v", what, err)
			}
			if s, _, err = fold(p, s, r.Events[at:]); err != nil {
				tb.Errorf("%s: %v", what, err)
				return
			}
			if got, err := p.Snapshot(s); err != nil || !bytes.Equal(got, want) {
				tb.Errorf("%s: at the end the state is another one (%v):\n got %q\nwant %q", what, err, got, want)
			}
		})
	}},
	{Name: "snapshot/leaves-the-state-alone", Check: func(tb testing.TB, h Harness) {
		if h.NoSnapshots {
			tb.Skip("the language has no snapshots")
		}
		for _, c := range h.Cases {
			p, r := h.play(tb, c)
			var s workflow.State
			for i := range r.Events {
				e := r.Events[i]
				var commands []workflow.Command
				var err error
				if s, commands, err = p.Step(s, &e); err != nil {
					tb.Fatalf("%s: %v", c.Name, err)
				}
				wantSame(tb, c.Name+", with snapshots taken on the way", [][]workflow.Command{commands}, r.Commands[i:i+1])
				first, err := p.Snapshot(s)
				second, err2 := p.Snapshot(s)
				if err != nil || err2 != nil || !bytes.Equal(first, second) {
					tb.Errorf("%s: two snapshots of one state differ: %v, %v", c.Name, err, err2)
				}
			}
			release(p, s)
		}
	}},
	{Name: "snapshot/shares-nothing", Check: func(tb testing.TB, h Harness) {
		eachSnapshot(tb, h, func(what string, p workflow.Program, r *Record, at int, s workflow.State, b []byte) {
			other, err := p.Restore(b, nil)
			if err != nil {
				tb.Fatalf("%s: Restore: %v", what, err)
			}
			if _, _, err := fold(p, other, r.Events[at:]); err != nil {
				tb.Errorf("%s: %v", what, err)
			}
			kept, err := p.Snapshot(s)
			if err != nil || !bytes.Equal(kept, b) {
				tb.Errorf("%s: stepping one restored state changed another (%v)", what, err)
			}
		})
	}},
	{Name: "snapshot/corrupt", Check: func(tb testing.TB, h Harness) {
		eachSnapshot(tb, h, func(what string, p workflow.Program, r *Record, at int, s workflow.State, b []byte) {
			if at > 3 && at < len(r.Events) {
				return
			}
			for cut := range points(len(b)) {
				cut-- // from nothing at all
				s, err := p.Restore(b[:cut:cut], nil)
				wantClass(tb, err, faas.ErrCorrupt, fmt.Sprintf("%s: cut off after %d of %d bytes", what, cut, len(b)))
				if err == nil {
					release(p, s)
					return
				}
			}
			for i := range points(len(b)) { // whatever comes out, it must not panic
				bad := bytes.Clone(b)
				bad[i-1] ^= 0x55
				if s, err := p.Restore(bad, nil); err == nil {
					_, _ = p.Snapshot(s)
					release(p, s)
				} else {
					wantClass(tb, err, faas.ErrCorrupt, fmt.Sprintf("%s: byte %d changed", what, i-1))
				}
			}
		})
	}},
}

// eachSnapshot calls f with what is restored at points of each case.
func eachSnapshot(tb testing.TB, h Harness, f func(what string, p workflow.Program, r *Record, at int, s workflow.State, b []byte)) {
	if h.NoSnapshots {
		tb.Skip("the language has no snapshots")
	}
	for _, c := range h.Cases {
		p, r := h.play(tb, c)
		for at := range points(len(r.Events)) {
			live, _, err := fold(p, nil, r.Events[:at])
			if err != nil {
				tb.Fatalf("%s: %v", c.Name, err)
			}
			b, err := p.Snapshot(live)
			release(p, live)
			if err != nil {
				tb.Fatalf("%s: Snapshot after event %d: %v", c.Name, at, err)
			}
			other := h.compile(tb, c) // as after a restart
			s, err := other.Restore(bytes.Clone(b), nil)
			if err != nil {
				tb.Fatalf("%s: Restore after event %d: %v", c.Name, at, err)
			}
			f(fmt.Sprintf("%s, restored after event %d", c.Name, at), other, r, at, s, b)
		}
	}
}
