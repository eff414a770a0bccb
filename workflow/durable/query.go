package durable

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// query answers a question.
type query func(argument workflow.Payload) (workflow.Payload, error)

// HandleQuery lets the workflow answer the query of that name from now on. The handler runs between two
// turns of the workflow's code, whose variables it may read but not change; it must not use a Context.
func HandleQuery[A, R any](ctx Context, name string, handler func(argument A) (R, error)) {
	x := ctx.x
	x.enter()
	if x.queries == nil {
		x.queries = map[string]query{}
	}
	x.queries[name] = func(p workflow.Payload) (workflow.Payload, error) {
		var argument A
		switch to := any(&argument).(type) {
		case *workflow.Payload:
			*to = p
		default:
			data, ok := p.InHand()
			if !ok || len(data) > 0 && json.Unmarshal(data, &argument) != nil {
				return workflow.Payload{}, faas.Errorf(Name, "query", name, faas.ErrInvalidArgument, "the argument is not JSON for %T", argument)
			}
		}
		answer, err := handler(argument)
		if err != nil {
			return workflow.Payload{}, err
		}
		return encode(answer)
	}
}

// Query implements workflow.Querier. ErrNotFound lists the queries there are; a handler that panics is ErrFunction.
func (p *program) Query(s workflow.State, name string, argument workflow.Payload) (answer workflow.Payload, err error) {
	x, _ := s.(*execution)
	if x == nil {
		return workflow.Payload{}, faas.Errorf(Name, "query", name, faas.ErrNotFound, "the execution has not begun")
	}
	q, ok := x.queries[name]
	if !ok {
		var known []string
		for n := range x.queries {
			known = append(known, n)
		}
		slices.Sort(known)
		return workflow.Payload{}, faas.Errorf(Name, "query", name, faas.ErrNotFound, "the workflow answers %s", strings.Join(known, ", "))
	}
	x.querying = true
	defer func() {
		x.querying = false
		if reason := recover(); reason != nil {
			err = faas.Errorf(Name, "query", name, faas.ErrFunction, "the handler panicked: %v", reason)
		}
	}()
	return q(argument)
}
