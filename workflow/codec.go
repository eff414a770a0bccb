package workflow

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/joinery/faas"
)

// The binary form of an event, for stores: compact, self-delimiting and versioned. It has no
// checksum: that is the store's.

const eventFormat = 1

// Bits of the fields that follow the fixed ones.
const (
	hasStep = 1 << iota
	hasNode
	hasName
	hasAttempt
	hasBegan
	hasCold
	hasDue
	hasRule
	hasFrom
	hasUndone
	hasPayload
	hasFailure
	hasStart
	knownFields = 1<<iota - 1
)

// AppendEvent appends the binary form of e to b. ErrInvalidArgument if JSON cannot say e.Start.
func AppendEvent(b []byte, e *Event) ([]byte, error) {
	var fields uint64
	set := func(bit uint64, on bool) {
		if on {
			fields |= bit
		}
	}
	set(hasStep, e.Step != "")
	set(hasNode, e.Node != "")
	set(hasName, e.Name != "")
	set(hasAttempt, e.Attempt != 0)
	set(hasBegan, !e.Began.IsZero())
	set(hasCold, e.Cold != 0)
	set(hasDue, !e.Due.IsZero())
	set(hasRule, e.Rule != 0)
	set(hasFrom, e.From != 0)
	set(hasUndone, len(e.Undone) > 0)
	set(hasPayload, !e.Payload.IsZero())
	set(hasFailure, e.Failure != nil)
	set(hasStart, e.Start != nil)

	b = append(b, eventFormat, byte(e.Kind))
	b = binary.AppendUvarint(b, fields)
	b = binary.AppendUvarint(b, e.Seq)
	now := e.Time.UnixNano()
	b = binary.AppendVarint(b, now)
	if fields&hasStep != 0 {
		b = appendString(b, e.Step)
	}
	if fields&hasNode != 0 {
		b = appendString(b, e.Node)
	}
	if fields&hasName != 0 {
		b = appendString(b, e.Name)
	}
	if fields&hasAttempt != 0 {
		b = binary.AppendVarint(b, int64(e.Attempt))
	}
	if fields&hasBegan != 0 {
		b = binary.AppendVarint(b, e.Began.UnixNano()-now)
	}
	if fields&hasCold != 0 {
		b = binary.AppendVarint(b, int64(e.Cold))
	}
	if fields&hasDue != 0 {
		b = binary.AppendVarint(b, e.Due.UnixNano()-now)
	}
	if fields&hasRule != 0 {
		b = binary.AppendVarint(b, int64(e.Rule))
	}
	if fields&hasFrom != 0 {
		b = binary.AppendUvarint(b, e.From)
	}
	if fields&hasUndone != 0 {
		b = binary.AppendUvarint(b, uint64(len(e.Undone)))
		for _, seq := range e.Undone {
			b = binary.AppendUvarint(b, seq)
		}
	}
	if fields&hasPayload != 0 {
		b = AppendPayload(b, e.Payload)
	}
	if fields&hasFailure != 0 {
		b = appendString(b, e.Failure.Name)
		b = appendString(b, e.Failure.Cause)
		b = binary.AppendVarint(b, int64(e.Failure.Status))
		b = AppendPayload(b, e.Failure.Details)
	}
	if fields&hasStart != 0 {
		start, err := json.Marshal(e.Start)
		if err != nil {
			return nil, faas.Errorf("workflow", "encode event", "start", faas.ErrInvalidArgument, "%w", err)
		}
		b = appendString(b, string(start))
	}
	return b, nil
}

// DecodeEvent reads one event from the beginning of data and returns what follows it. Payloads held by
// reference are bound to source; others alias data, which must not change any more. Errors: ErrCorrupt;
// ErrUnimplemented for a newer format.
func DecodeEvent(data []byte, source PayloadSource) (e Event, rest []byte, err error) {
	if len(data) < 2 {
		return Event{}, nil, corrupt("event is cut off")
	}
	if data[0] != eventFormat {
		return Event{}, nil, faas.Errorf("workflow", "decode event", "", faas.ErrUnimplemented, "format %d; this version reads %d", data[0], eventFormat)
	}
	e.Kind = EventKind(data[1])
	if e.Kind.String() == "event-unknown" {
		return Event{}, nil, corrupt("there is no such kind of event")
	}
	d := decoder{data: data[2:]}
	fields := d.uvarint()
	if fields&^knownFields != 0 {
		d.fail("event has unknown fields")
	}
	e.Seq = d.uvarint()
	now := d.varint()
	e.Time = time.Unix(0, now).UTC()
	if fields&hasStep != 0 {
		e.Step = d.text()
	}
	if fields&hasNode != 0 {
		e.Node = d.text()
	}
	if fields&hasName != 0 {
		e.Name = d.text()
	}
	if fields&hasAttempt != 0 {
		e.Attempt = int(d.varint())
	}
	if fields&hasBegan != 0 {
		e.Began = time.Unix(0, now+d.varint()).UTC()
	}
	if fields&hasCold != 0 {
		e.Cold = time.Duration(d.varint())
	}
	if fields&hasDue != 0 {
		e.Due = time.Unix(0, now+d.varint()).UTC()
	}
	if fields&hasRule != 0 {
		e.Rule = int(d.varint())
	}
	if fields&hasFrom != 0 {
		e.From = d.uvarint()
	}
	if fields&hasUndone != 0 {
		n := d.uvarint()
		if n > uint64(len(d.data)) {
			d.fail("event is cut off")
			n = 0
		}
		e.Undone = make([]uint64, n)
		for i := range e.Undone {
			e.Undone[i] = d.uvarint()
		}
	}
	if fields&hasPayload != 0 {
		e.Payload = d.payload(source)
	}
	if fields&hasFailure != 0 {
		e.Failure = &Failure{Name: d.text(), Cause: d.text(), Status: int(d.varint()), Details: d.payload(source)}
	}
	if fields&hasStart != 0 {
		e.Start = new(Start)
		if text := d.bytes(); d.err == nil {
			if err := json.Unmarshal(text, e.Start); err != nil {
				d.fail(err.Error())
			}
		}
	}
	if d.err != nil {
		return Event{}, nil, d.err
	}
	return e, d.data, nil
}

// The first byte of a payload: bits.
const (
	payloadValue  = 1 << iota // there is a value
	payloadMedia              // a media type follows
	payloadDigest             // held by reference
)

// AppendPayload appends the binary form of p to b, for snapshots and stores.
func AppendPayload(b []byte, p Payload) []byte {
	var bits byte
	if !p.IsZero() {
		bits |= payloadValue
	}
	if p.media != "" {
		bits |= payloadMedia
	}
	if p.ref != nil {
		bits |= payloadDigest
	}
	b = append(b, bits)
	if bits&payloadMedia != 0 {
		b = appendString(b, p.media)
	}
	switch {
	case bits&payloadDigest != 0:
		b = appendString(b, string(p.ref.digest))
		b = binary.AppendVarint(b, p.ref.size)
	case bits&payloadValue != 0:
		b = appendString(b, string(p.data))
	}
	return b
}

// DecodePayload reads a payload from the beginning of data and returns what follows it. See
// DecodeEvent for source and errors.
func DecodePayload(data []byte, source PayloadSource) (p Payload, rest []byte, err error) {
	d := decoder{data: data}
	p = d.payload(source)
	if d.err != nil {
		return Payload{}, nil, d.err
	}
	return p, d.data, nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func corrupt(what string) error {
	return faas.Errorf("workflow", "decode", "", faas.ErrCorrupt, "%s", what)
}

// decoder reads fields one after the other; after a fault every field is zero.
type decoder struct {
	data []byte
	err  error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = corrupt(what)
	}
	d.data = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.fail("number is cut off")
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.data)
	if n <= 0 {
		d.fail("number is cut off")
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.data)) {
		d.fail("text is cut off")
		return nil
	}
	b := d.data[:n:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) text() string { return string(d.bytes()) }

func (d *decoder) payload(source PayloadSource) Payload {
	if len(d.data) == 0 {
		d.fail("payload is cut off")
		return Payload{}
	}
	bits := d.data[0]
	d.data = d.data[1:]
	if bits&^(payloadValue|payloadMedia|payloadDigest) != 0 {
		d.fail("payload has unknown bits")
	}
	var media string
	if bits&payloadMedia != 0 {
		media = d.text()
	}
	switch {
	case bits&payloadDigest != 0:
		return Reference(media, faas.Digest(d.text()), d.varint(), source)
	case bits&payloadValue != 0:
		return Bytes(media, d.bytes())
	}
	return Payload{}
}
