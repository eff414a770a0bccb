package pebblestore

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// The values. A batch of events is their binary forms, one after the other. A record is its JSON, with the length
// before it, and then the two payloads, which JSON does not keep to the letter.

func appendEvents(b []byte, events []workflow.Event) ([]byte, error) {
	var err error
	for i := range events {
		if b, err = workflow.AppendEvent(b, &events[i]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// decodeEvents appends the events of a batch that begins with Seq first to events. Their payloads alias data.
func decodeEvents(events []workflow.Event, first uint64, data []byte, source workflow.PayloadSource) ([]workflow.Event, error) {
	if len(data) == 0 {
		return events, fmt.Errorf("batch %d is empty", first)
	}
	for len(data) > 0 {
		e, rest, err := workflow.DecodeEvent(data, source)
		if err != nil {
			return events, err
		}
		if e.Seq != first {
			return events, fmt.Errorf("event %d stands where %d should", e.Seq, first)
		}
		events = append(events, e)
		data = rest
		first++
	}
	return events, nil
}

// dropEvents returns what remains of a batch that begins with Seq first without its first n events.
func dropEvents(data []byte, n uint64) ([]byte, error) {
	for ; n > 0 && len(data) > 0; n-- {
		_, rest, err := workflow.DecodeEvent(data, nil)
		if err != nil {
			return nil, err
		}
		data = rest
	}
	return data, nil
}

func appendRecord(b []byte, x *workflow.Execution) ([]byte, error) {
	plain := *x
	plain.Ref = plain.Ref.WithDefaults()
	plain.Output = workflow.Payload{}
	var details workflow.Payload
	if x.Failure != nil {
		failure := *x.Failure
		details, failure.Details = failure.Details, workflow.Payload{}
		plain.Failure = &failure
	}
	text, err := json.Marshal(&plain)
	if err != nil {
		return nil, faas.Errorf("workflow store", "append", x.Ref.String(), faas.ErrInvalidArgument, "record: %w", err)
	}
	b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	return workflow.AppendPayload(workflow.AppendPayload(b, x.Output), details), nil
}

// decodeRecord reads a record; its payloads alias data.
func decodeRecord(data []byte, source func(workflow.ExecutionRef) workflow.PayloadSource) (x workflow.Execution, err error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)-size) {
		return x, fmt.Errorf("record is cut off")
	}
	data = data[size:]
	if err := json.Unmarshal(data[:n], &x); err != nil {
		return x, fmt.Errorf("record: %w", err)
	}
	src := source(x.Ref)
	var details workflow.Payload
	if x.Output, data, err = workflow.DecodePayload(data[n:], src); err != nil {
		return x, err
	}
	if details, data, err = workflow.DecodePayload(data, src); err != nil {
		return x, err
	}
	if len(data) > 0 {
		return x, fmt.Errorf("record is followed by %d bytes", len(data))
	}
	if x.Failure != nil {
		x.Failure.Details = details
	}
	return x, nil
}

func appendSnapshot(b []byte, at uint64, snapshot []byte) []byte {
	return append(binary.AppendUvarint(b, at), snapshot...)
}

func decodeSnapshot(data []byte) (at uint64, snapshot []byte, err error) {
	at, n := binary.Uvarint(data)
	if n <= 0 || at == 0 {
		return 0, nil, fmt.Errorf("snapshot is cut off")
	}
	return at, data[n:], nil
}
