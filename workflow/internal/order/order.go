// Package order is the order of lists of executions, newest start first and then by
// reference, and the tokens that continue such a list at a place in that order. A token names a place
// and not an execution, so it stays valid whatever comes and goes.
package order

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Position is an execution's place in the order.
type Position struct {
	// Started is the start in nanoseconds of Unix time.
	Started int64                 `json:"t"`
	Ref     workflow.ExecutionRef `json:"x"`
}

// Of returns the place of a record.
func Of(x *workflow.Execution) Position { return Position{x.Started.UnixNano(), x.Ref} }

// Compare is negative when a is listed before b.
func Compare(a, b Position) int {
	if a.Started != b.Started {
		return cmp.Compare(b.Started, a.Started)
	}
	if c := strings.Compare(a.Ref.Namespace, b.Ref.Namespace); c != 0 {
		return c
	}
	if c := strings.Compare(a.Ref.ID, b.Ref.ID); c != 0 {
		return c
	}
	return cmp.Compare(a.Ref.Run, b.Ref.Run)
}

// Token continues a list after p.
func (p Position) Token() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// Parse checks a query's limit and token. It returns the size of the page and, unless the
// list starts at the beginning, the place that it continues after. Errors: ErrInvalidArgument.
func Parse(q *workflow.ExecutionQuery) (limit int, after *Position, err error) {
	if limit, err = Limit("list", q.Limit); err != nil || q.Token == "" {
		return limit, nil, err
	}
	text, err := base64.RawURLEncoding.DecodeString(q.Token)
	if err == nil {
		after = new(Position)
		err = json.Unmarshal(text, after)
	}
	if err == nil {
		err = after.Ref.Validate()
	}
	if err != nil {
		return 0, nil, faas.Errorf("workflow store", "list", "token", faas.ErrInvalidArgument, "%.40q is not a token of a page", q.Token)
	}
	return limit, after, nil
}

// Limit returns the size of a page. ErrInvalidArgument unless n is 0, for the default, to MaxPage.
func Limit(op string, n int) (int, error) {
	switch {
	case n == 0:
		return workflow.DefaultPage, nil
	case n < 0 || n > workflow.MaxPage:
		return 0, faas.Errorf("workflow store", op, "limit", faas.ErrInvalidArgument, "%d is not between 0 and %d", n, workflow.MaxPage)
	}
	return n, nil
}
