package fission

import (
	_ "embed"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/dop251/goja"
)

// Bounds of an evaluation.
const (
	// maxTicks is how many turns of loops and calls of functions one expression may take.
	maxTicks = 100_000
	// maxText is the longest text in UTF-16 units, maxList the longest list that is worked on as a whole.
	maxText = 1 << 20
	maxList = 100_000
	// maxSize is how many values the result may have, maxBytes how long its texts may be together.
	maxSize  = 200_000
	maxBytes = 4 << 20
	maxDepth = 100
	// patience is how long one expression may take. It is no part of what an expression means: see errPatience.
	patience = 10 * time.Second
)

//go:embed prelude.js
var preludeText string

// compilePrelude compiles the code that every evaluation begins with.
func compilePrelude() (*goja.Program, error) { return goja.Compile("prelude", preludeText, true) }

// limitError is a bound that was reached.
type limitError struct{ what string }

func (e *limitError) Error() string { return e.what }

// errPatience says that the machine was too slow, not that the expression is wrong: a clock may not
// decide what becomes of an execution.
var errPatience = errors.New("an expression did not end in time")

// machine is a runtime in which nothing of the language can be changed.
type machine struct {
	vm     *goja.Runtime
	freeze goja.Callable
	ticks  int
	// Of the evaluation at hand. stopped is the bound that it reached.
	stopped *limitError
	now     time.Time
	random  *rand.Rand
	see     map[string]goja.Value
}

// seen are the names that expressions see.
var seen = [...]string{"$", "taskId", "param", "input", "output", "outputHeaders", "task", "current"}

// newMachine makes a runtime.
func newMachine(prelude *goja.Program) (*machine, error) {
	m := &machine{vm: goja.New(), see: map[string]goja.Value{}, random: rand.New(rand.NewPCG(0, 0))}
	m.vm.SetTimeSource(func() time.Time { return m.now })
	m.vm.SetRandSource(func() float64 { return m.random.Float64() })
	m.vm.SetMaxCallStackSize(500)
	tick := m.vm.ToValue(func(goja.FunctionCall) goja.Value { m.tick(); return goja.Undefined() })
	check := m.vm.ToValue(func(c goja.FunctionCall) goja.Value {
		v := c.Argument(0)
		if s, ok := v.(goja.String); ok && s.Length() > maxText {
			m.stop("a text is longer than %d", maxText)
		}
		return v
	})
	pattern := m.vm.ToValue(func(c goja.FunctionCall) goja.Value {
		if err := checkPattern(c.Argument(0).String()); err != nil {
			m.stop("%v", err)
		}
		return goja.Undefined()
	})
	size := m.vm.ToValue(func(c goja.FunctionCall) goja.Value {
		if _, err := (&exporter{m: m}).value(c.Argument(0), 0); err != nil {
			m.stop("%v", err)
		}
		return goja.Undefined()
	})
	m.set("uid", func(goja.FunctionCall) goja.Value {
		return m.vm.ToValue(strconv.FormatUint(m.random.Uint64()|1<<63, 16))
	})
	f, err := m.vm.RunProgram(prelude)
	if err != nil {
		return nil, err
	}
	start, _ := goja.AssertFunction(f)
	freeze, err := start(goja.Undefined(), check, tick, pattern, size, m.vm.ToValue(maxText), m.vm.ToValue(maxList))
	if err != nil {
		return nil, err
	}
	m.freeze, _ = goja.AssertFunction(freeze)
	global := m.vm.GlobalObject()
	for name, f := range map[string]goja.Value{tickName.String(): tick, checkName.String(): check} {
		if err := global.DefineDataProperty(name, f, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// seal makes the runtime one for many expressions, one after the other: the names that they see
// are looked up anew each time, and no name can be added.
func (m *machine) seal() error {
	for _, name := range seen {
		get := m.vm.ToValue(func(goja.FunctionCall) goja.Value { return m.see[name] })
		if err := m.vm.GlobalObject().DefineAccessorProperty(name, get, nil, goja.FLAG_FALSE, goja.FLAG_TRUE); err != nil {
			return err
		}
	}
	_, err := m.freeze(goja.Undefined())
	return err
}

// pool keeps sealed machines: making one takes some milliseconds.
type pool struct {
	mu   sync.Mutex
	free []*machine
}

const maxPool = 16

func (p *pool) get(prelude *goja.Program) (*machine, error) {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		m := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return m, nil
	}
	p.mu.Unlock()
	m, err := newMachine(prelude)
	if err != nil {
		return nil, err
	}
	return m, m.seal()
}

func (p *pool) put(m *machine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < maxPool {
		p.free = append(p.free, m)
	}
}

// begin prepares the next evaluation, whose chance follows from seed and salt.
func (m *machine) begin(now time.Time, seed, salt uint64) {
	m.vm.ClearInterrupt() // of a timer that came too late
	m.ticks, m.stopped, m.now = 0, nil, now
	m.random = rand.New(rand.NewPCG(seed, salt))
	clear(m.see)
}

func (m *machine) set(name string, value any) {
	if err := m.vm.Set(name, value); err != nil {
		panic(err) // the names are ours
	}
}

// stop ends the evaluation; JavaScript cannot catch it.
func (m *machine) stop(format string, args ...any) {
	m.stopped = &limitError{fmt.Sprintf(format, args...)}
	m.vm.Interrupt(m.stopped)
	panic(m.vm.NewGoError(errors.New("stopped")))
}

func (m *machine) tick() {
	if m.ticks++; m.ticks > maxTicks {
		m.stop("the expression took more than %d steps", maxTicks)
	}
}

// run evaluates code and returns its value as JSON has it. The error is how the
// expression failed, or errPatience.
func (m *machine) run(code *goja.Program) (any, error) {
	timer := time.AfterFunc(patience, func() { m.vm.Interrupt(errPatience) })
	defer timer.Stop()
	v, err := m.vm.RunProgram(code)
	if err == nil {
		var out any
		if thrown := m.vm.Try(func() { out, err = (&exporter{m: m}).value(v, 0) }); thrown != nil {
			err = thrown
		}
		if err == nil {
			return out, nil
		}
	}
	if m.stopped != nil {
		return nil, m.stopped
	}
	var interrupted *goja.InterruptedError
	if errors.As(err, &interrupted) {
		if cause, ok := interrupted.Value().(error); ok {
			return nil, cause
		}
	}
	var thrown *goja.Exception
	if errors.As(err, &thrown) {
		said := "it threw something that has no text"
		_ = m.vm.Try(func() { said = thrown.Value().String() }) // which may run code of the expression's own
		return nil, errors.New(clip(said))
	}
	return nil, err
}

func clip(s string) string {
	if len(s) > 300 {
		return s[:300] + "…"
	}
	return s
}

// exporter turns values of JavaScript into those of JSON, within bounds.
type exporter struct {
	m           *machine
	size, bytes int
}

func (x *exporter) value(v goja.Value, depth int) (any, error) {
	if x.size++; x.size > maxSize {
		return nil, &limitError{fmt.Sprintf("a value has more than %d parts", maxSize)}
	}
	if depth > maxDepth {
		return nil, &limitError{fmt.Sprintf("a value is nested deeper than %d levels, or holds itself", maxDepth)}
	}
	if v == nil || goja.IsUndefined(v) || goja.IsNull(v) {
		return nil, nil
	}
	o, ok := v.(*goja.Object)
	if !ok {
		switch e := v.Export().(type) {
		case int64:
			return float64(e), nil
		case float64:
			if math.IsNaN(e) || math.IsInf(e, 0) {
				return nil, nil // as JSON.stringify has it
			}
			return e, nil
		case bool:
			return e, nil
		case string:
			return e, x.text(e)
		}
		return nil, fmt.Errorf("the value %s is nothing that JSON can say", clip(v.String()))
	}
	if _, isFunction := goja.AssertFunction(o); isFunction {
		return nil, nil
	}
	switch o.ClassName() {
	case "Array":
		n := o.Get("length").ToInteger()
		if n > maxList {
			return nil, &limitError{fmt.Sprintf("a list is longer than %d", maxList)}
		}
		list := make([]any, n)
		for i := range list {
			var err error
			if list[i], err = x.value(o.Get(strconv.Itoa(i)), depth+1); err != nil {
				return nil, err
			}
		}
		return list, nil
	case "Date", "String", "Number", "Boolean":
		if e, ok := o.Export().(time.Time); ok {
			return e.UTC().Format("2006-01-02T15:04:05.000Z"), nil
		}
		return x.value(x.m.vm.ToValue(o.Export()), depth+1)
	}
	m := map[string]any{}
	for _, key := range o.Keys() {
		if err := x.text(key); err != nil {
			return nil, err
		}
		item := o.Get(key)
		if goja.IsUndefined(item) {
			continue
		}
		if _, isFunction := goja.AssertFunction(item); isFunction {
			continue
		}
		var err error
		if m[key], err = x.value(item, depth+1); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (x *exporter) text(s string) error {
	if x.bytes += len(s); x.bytes > maxBytes {
		return &limitError{fmt.Sprintf("a value has more than %d bytes of text", maxBytes)}
	}
	return nil
}

// toJS makes an object of JavaScript's own: what an expression does to it stays with it.
func (m *machine) toJS(v any) goja.Value {
	switch v := v.(type) {
	case nil:
		return goja.Null()
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = m.toJS(item)
		}
		return m.vm.NewArray(list...)
	case map[string]any:
		o := m.vm.NewObject()
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		for _, key := range keys {
			if err := o.Set(key, m.toJS(v[key])); err != nil {
				panic(err) // a plain object takes any key
			}
		}
		return o
	case *flow:
		return m.toJS(v.plain())
	}
	return m.vm.ToValue(v)
}
