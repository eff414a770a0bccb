package pebblestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/order"
)

// The keys. NAME is namespace 0 id 0, RUN and SEQ are 8 bytes big-endian, START is 8 bytes
// such that a later start comes first.
//
//	x NAME RUN            → the execution exists; its start
//	o START NAME RUN      → the record of an open execution
//	c START NAME RUN      → the record of a closed one
//	k KEEP START NAME RUN → a closed one may go at KEEP
//	d NAME RUN 1          → its snapshot
//	d NAME RUN 2 SEQ      → a batch of its events, from Seq SEQ on
//	d NAME RUN 3 DIGEST   → a payload of it
const (
	kindExists = 'x'
	kindOpen   = 'o'
	kindClosed = 'c'
	kindKeep   = 'k'
	kindData   = 'd'

	dataSnapshot = 1
	dataEvents   = 2
	dataPayload  = 3
)

func appendName(k []byte, ref workflow.ExecutionRef) []byte {
	k = append(append(k, ref.Namespace...), 0)
	return append(append(k, ref.ID...), 0)
}

func appendRef(k []byte, ref workflow.ExecutionRef) []byte {
	return binary.BigEndian.AppendUint64(appendName(k, ref), ref.Run)
}

func existsKey(k []byte, ref workflow.ExecutionRef) []byte {
	return appendRef(append(k, kindExists), ref)
}

// ascending is a number whose bytes are in the order of times.
func ascending(nanos int64) uint64 { return uint64(nanos) ^ 1<<63 }

func appendPosition(k []byte, p order.Position) []byte {
	return appendRef(binary.BigEndian.AppendUint64(k, ^ascending(p.Started)), p.Ref)
}

func recordKey(k []byte, open bool, p order.Position) []byte {
	kind := byte(kindClosed)
	if open {
		kind = kindOpen
	}
	return appendPosition(append(k, kind), p)
}

func keepKey(k []byte, keep time.Time, p order.Position) []byte {
	k = binary.BigEndian.AppendUint64(append(k, kindKeep), ascending(nanos(keep)))
	return appendPosition(k, p)
}

// nanos is the Unix time, at the ends of its range for a time that has none.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

func dataKey(k []byte, ref workflow.ExecutionRef, sub byte) []byte {
	return append(appendRef(append(k, kindData), ref), sub)
}

func eventsKey(k []byte, ref workflow.ExecutionRef, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(dataKey(k, ref, dataEvents), seq)
}

func payloadKey(k []byte, ref workflow.ExecutionRef, d faas.Digest) []byte {
	return append(dataKey(k, ref, dataPayload), d...)
}

// parseRef reads what appendRef wrote, up to the end.
func parseRef(k []byte) (workflow.ExecutionRef, bool) {
	ns, rest, ok := bytes.Cut(k, []byte{0})
	if !ok {
		return workflow.ExecutionRef{}, false
	}
	id, run, ok := bytes.Cut(rest, []byte{0})
	if !ok || len(run) != 8 {
		return workflow.ExecutionRef{}, false
	}
	return workflow.ExecutionRef{Namespace: string(ns), ID: string(id), Run: binary.BigEndian.Uint64(run)}, true
}

// parsePosition reads what appendPosition wrote, up to the end.
func parsePosition(k []byte) (order.Position, bool) {
	if len(k) < 8 {
		return order.Position{}, false
	}
	ref, ok := parseRef(k[8:])
	return order.Position{Started: int64(^binary.BigEndian.Uint64(k) ^ 1<<63), Ref: ref}, ok
}

// seqOf reads the Seq of an events key.
func seqOf(k []byte) (uint64, bool) {
	if len(k) < 9 || k[len(k)-9] != dataEvents {
		return 0, false
	}
	return binary.BigEndian.Uint64(k[len(k)-8:]), true
}

// after is the first key that does not begin with k, which does not end in 0xff.
func after(k []byte) []byte {
	end := bytes.Clone(k)
	end[len(end)-1]++
	return end
}

var errNoKey = errors.New("the key is none of ours")

func decodeStarted(v []byte) (int64, error) {
	if len(v) != 8 {
		return 0, errNoKey
	}
	return int64(binary.BigEndian.Uint64(v)), nil
}
