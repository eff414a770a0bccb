package durable

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// encode turns a value into a payload. A workflow.Payload is passed on as it is; nil is no value.
func encode(v any) (workflow.Payload, error) {
	switch v := v.(type) {
	case nil:
		return workflow.Payload{}, nil
	case workflow.Payload:
		return v, nil
	}
	return workflow.MarshalPayload(v)
}

// decode turns a payload into a T. A payload whose bytes cannot be had now aborts the turn.
func decode[T any](x *execution, p workflow.Payload, key string) (T, error) {
	var v T
	if to, ok := any(&v).(*workflow.Payload); ok {
		*to = p
		return v, nil
	}
	if p.IsZero() {
		return v, nil
	}
	data, err := p.Bytes(context.Background())
	if err != nil {
		x.abort(err)
	}
	if len(data) == 0 {
		return v, nil
	}
	if p.MediaType() != workflow.MediaTypeJSON {
		switch to := any(&v).(type) {
		case *[]byte:
			*to = slices.Clone(data)
			return v, nil
		case *string:
			*to = string(data)
			return v, nil
		}
		return v, faas.Errorf("durable", "decode", key, faas.ErrInvalidArgument, "the value is %s, not JSON: read it as workflow.Payload, []byte or string", p.MediaType())
	}
	if err := json.Unmarshal(data, &v); err != nil {
		var none T
		return none, faas.Errorf("durable", "decode", key, faas.ErrInvalidArgument, "%w", err)
	}
	return v, nil
}
