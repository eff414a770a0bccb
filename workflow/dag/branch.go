package dag

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/joinery/faas/workflow"
)

// Branches, short circuits and sensors.

// choose takes the first choice that holds. The output is the list of the names gone on with.
func (r *run) choose(i int32) {
	t := &r.program.tasks[i]
	v := r.view()
	names := []string{}
	var chosen []int32
	for _, way := range t.choices {
		if way.when != nil {
			ok, err := way.when.holds(&v)
			if f := r.check(err); f != nil {
				r.fail(i, f)
				return
			}
			if !ok {
				continue
			}
		}
		chosen = way.tasks
		for _, n := range chosen {
			names = append(names, r.program.tasks[n].name)
		}
		break
	}
	r.take(i, chosen)
	list, _ := json.Marshal(names) // texts always marshal
	r.succeed(i, workflow.Bytes("", list))
}

// follow skips what a branch or a short circuit excludes.
func (r *run) follow(i int32, output workflow.Payload) *workflow.Failure {
	t := &r.program.tasks[i]
	value, err := payloadJSON(output)
	if err != nil {
		return r.check(err)
	}
	if t.short != "" {
		if !truth(value) {
			r.cut(i, t.short == "all")
		}
		return nil
	}
	var names []string
	if json.Unmarshal(value, &names) != nil {
		names = make([]string, 1)
		if json.Unmarshal(value, &names[0]) != nil {
			return &workflow.Failure{Name: workflow.FailureProgram, Cause: "a branch answers the name of a task or a list of names, not " + clip(value)}
		}
	}
	var chosen []int32
	for _, name := range names {
		ways := t.ways[name]
		if ways == nil {
			return &workflow.Failure{Name: workflow.FailureProgram, Cause: "a branch answers " + strconv.Quote(clip([]byte(name))) + ", which is no task that directly needs it"}
		}
		chosen = append(chosen, ways...)
	}
	r.take(i, chosen)
	return nil
}

func clip(b []byte) string {
	if len(b) > 80 {
		return string(b[:80]) + "…"
	}
	return string(b)
}

// take skips the tasks that directly need i, but for the chosen ones and those behind them.
func (r *run) take(i int32, chosen []int32) {
	for _, n := range r.program.graph.Next(i) {
		if r.state.status[n] != none || r.program.tasks[n].teardown || slices.Contains(chosen, n) {
			continue
		}
		behind := slices.ContainsFunc(chosen, func(c int32) bool { return slices.Contains(r.program.tasks[i].behind[c], n) })
		if !behind {
			r.set(n, skipped)
		}
	}
}

// cut skips the tasks after i, teardowns aside: all of them, or the direct ones alone.
func (r *run) cut(i int32, all bool) {
	for _, n := range r.program.graph.Next(i) {
		if r.state.status[n] == none && !r.program.tasks[n].teardown {
			r.set(n, skipped)
			if all {
				r.cut(n, true)
			}
		}
	}
}

// poke is where a sensor stands: question n is under way, or the wait after it.
type poke struct {
	n     int
	pause bool
	began time.Time
}

func (p *poke) step(name string) string {
	id := name + "~" + strconv.Itoa(p.n)
	if p.pause {
		id += "+"
	}
	return id
}

func (r *run) ask(i int32, input workflow.Payload) {
	t, p := &r.program.tasks[i], r.state.pokes[i]
	p.n++
	p.pause = false
	r.commands = append(r.commands, r.open(t, p.step(t.name), input))
}

// poked takes in an answer of a sensor's function, or the end of the wait after one.
func (r *run) poked(id stepID, output workflow.Payload) {
	t, p := &r.program.tasks[id.task], r.state.pokes[id.task]
	if id.pause {
		v := r.view()
		input, err := t.input.payload(&v)
		if f := r.check(err); f != nil {
			r.fail(id.task, f)
			return
		}
		r.ask(id.task, input)
		return
	}
	value, err := payloadJSON(output)
	if f := r.check(err); f != nil {
		r.fail(id.task, f)
		return
	}
	if truth(value) {
		delete(r.state.pokes, id.task)
		r.succeed(id.task, output)
		return
	}
	next := r.now.Add(t.poke.every)
	if t.poke.most > 0 && next.Sub(p.began) > t.poke.most {
		delete(r.state.pokes, id.task)
		f := &workflow.Failure{Name: workflow.FailureTimeout, Cause: "asked " + strconv.Itoa(p.n) + " times in " + r.now.Sub(p.began).String() + ", never answered true"}
		if _, f = r.caught(t, nil, -1, f); f != nil {
			r.fail(id.task, f)
			return
		}
		r.succeed(id.task, output)
		return
	}
	p.pause = true
	r.commands = append(r.commands, workflow.Command{Kind: workflow.CommandTimer, Step: p.step(t.name), Node: t.name, Due: next})
}
