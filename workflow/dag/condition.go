package dag

import (
	"bytes"
	"cmp"
	"encoding/json"
	"reflect"

	"github.com/joinery/faas/workflow/internal/source"
)

// condition is a compiled Condition.
type condition struct {
	value    *template
	operator string
	operand  *template
	exists   *reference
	parts    []*condition // of all, any and not
}

// condition compiles; the faults found go to the compiler.
func (c *compiler) condition(path string, from *Condition, in scope) *condition {
	if from == nil {
		return nil
	}
	var out condition
	found := 0
	for _, o := range []struct {
		name    string
		operand any
	}{
		{"equals", from.Equals}, {"notEquals", from.NotEquals}, {"in", from.In}, {"less", from.Less},
		{"lessOrEqual", from.LessOrEqual}, {"greater", from.Greater}, {"atLeast", from.AtLeast},
	} {
		if o.operand != nil {
			found++
			out.operator = o.name
			out.operand = c.template(source.Join(path, o.name), o.operand, in)
		}
	}
	switch {
	case found > 1:
		c.doc.Fault(path, "has more than one comparison")
	case found == 1 && from.Value == nil:
		c.doc.Fault(path, "compares nothing: it has no value")
	}
	forms := 0
	if from.Value != nil {
		forms++
		out.value = c.template(source.Join(path, "value"), from.Value, in)
		if found == 0 {
			out.operator = "true"
		}
	}
	if from.Exists != "" {
		forms++
		out.operator = "exists"
		out.exists = c.reference(source.Join(path, "exists"), from.Exists, in)
	}
	combine := func(operator string, parts []Condition) {
		if len(parts) == 0 {
			return
		}
		forms++
		out.operator = operator
		for i := range parts {
			out.parts = append(out.parts, c.condition(source.Index(source.Join(path, operator), i), &parts[i], in))
		}
	}
	combine("all", from.All)
	combine("any", from.Any)
	if from.Not != nil {
		forms++
		out.operator = "not"
		out.parts = []*condition{c.condition(source.Join(path, "not"), from.Not, in)}
	}
	if forms != 1 {
		c.doc.Fault(path, "a condition has one of value, exists, all, any and not")
	}
	return &out
}

// holds judges the condition.
func (c *condition) holds(v *view) (bool, error) {
	switch c.operator {
	case "all", "any":
		for _, part := range c.parts {
			ok, err := part.holds(v)
			if err != nil {
				return false, err
			}
			if ok == (c.operator == "any") {
				return ok, nil
			}
		}
		return c.operator == "all", nil
	case "not":
		ok, err := c.parts[0].holds(v)
		return !ok, err
	case "exists":
		_, ok, err := c.exists.value(v)
		return ok, err
	}
	value, err := c.value.json(v)
	if err != nil || c.operator == "true" {
		return truth(value), err
	}
	operand, err := c.operand.json(v)
	if err != nil {
		return false, err
	}
	return compare(c.operator, value, operand)
}

func compare(operator string, left, right []byte) (bool, error) {
	a, err := decode(left)
	if err != nil {
		return false, err
	}
	b, err := decode(right)
	if err != nil {
		return false, err
	}
	switch operator {
	case "equals":
		return same(a, b), nil
	case "notEquals":
		return !same(a, b), nil
	case "in":
		list, ok := b.([]any)
		if !ok {
			return false, fault("in: %.60s is not a list", right)
		}
		for _, item := range list {
			if same(a, item) {
				return true, nil
			}
		}
		return false, nil
	}
	var order int
	switch x := a.(type) {
	case json.Number:
		y, ok := b.(json.Number)
		if !ok {
			return false, fault("%s: %.60s and %.60s are not two numbers", operator, left, right)
		}
		order = compareNumbers(x, y)
	case string:
		y, ok := b.(string)
		if !ok {
			return false, fault("%s: %.60s and %.60s are not two texts", operator, left, right)
		}
		order = cmp.Compare(x, y)
	default:
		return false, fault("%s: %.60s is neither a number nor a text", operator, left)
	}
	switch operator {
	case "less":
		return order < 0, nil
	case "lessOrEqual":
		return order <= 0, nil
	case "greater":
		return order > 0, nil
	}
	return order >= 0, nil
}

// decode keeps numbers as they are written, so that large ones are compared exactly.
func decode(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func same(a, b any) bool {
	x, ok := a.(json.Number)
	if y, also := b.(json.Number); ok && also {
		return compareNumbers(x, y) == 0
	}
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !same(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key := range a {
			other, ok := b[key]
			if !ok || !same(a[key], other) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

func compareNumbers(a, b json.Number) int {
	if x, err := a.Int64(); err == nil {
		if y, err := b.Int64(); err == nil {
			return cmp.Compare(x, y)
		}
	}
	x, _ := a.Float64() // out of range is an infinity, which compares well
	y, _ := b.Float64()
	return cmp.Compare(x, y)
}
