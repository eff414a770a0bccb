package main

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// The workflows of engine-kill and engine-failpoints: stages of steps of every kind. What each step results in
// follows from its name, so that an output tells whether every result was counted once.

const courseLanguage = "course"

// stage is opened when the one before has ended.
type stage struct {
	calls []string // function/step, in parallel
	kind  workflow.CommandKind
}

// courses are the workflows, by their name.
var courses = map[string][]stage{
	"course": {
		{calls: []string{"work/a"}},
		{calls: []string{"work/b-0", "work/b-1", "work/b-2", "work/b-3", "flaky/b-4"}},
		{kind: workflow.CommandTimer}, {kind: workflow.CommandActivity}, {kind: workflow.CommandChild}, {kind: workflow.CommandSignal},
		{calls: []string{"work/z"}},
	},
	"flawed": {{calls: []string{"work/a"}}, {calls: []string{"once/hard"}}, {calls: []string{"work/z"}}},
	"brief":  {{calls: []string{"work/a"}}},
	"leaf":   {{calls: []string{"work/a"}}},
	"long":   longCourse(),
}

func longCourse() (stages []stage) {
	for i := range 45 {
		stages = append(stages, stage{calls: []string{fmt.Sprintf("work/step-%02d", i)}})
	}
	return stages
}

// activityName is what the workers of a course poll for, and the step's ID.
const activityName = "paint"

// valueOf is the result of a step.
func valueOf(step string) int { return int(crc32.ChecksumIEEE([]byte(step))%1000) + 1 }

// split cuts "function/step".
func split(call string) (function, step string) {
	for i := range call {
		if call[i] == '/' {
			return call[:i], call[i+1:]
		}
	}
	return call, call
}

// steps returns the steps of a course whose results count, each with its stage.
func steps(course string) map[string]int {
	all := map[string]int{}
	for i, s := range courses[course] {
		switch s.kind {
		case 0:
			for _, c := range s.calls {
				_, step := split(c)
				all[step] = i
			}
		case workflow.CommandActivity:
			all[activityName] = i
		case workflow.CommandChild:
			all["child"] = i
		case workflow.CommandTimer:
			all["pause"] = i
		case workflow.CommandSignal:
			all["echo"] = i
		}
	}
	return all
}

// outputOf is the right output of a course: the sum of its results.
func outputOf(course string) (sum int) {
	for step := range steps(course) {
		switch step {
		case "child":
			sum += outputOf("leaf")
		case "pause":
		case "echo":
			sum++
		default:
			sum += valueOf(step)
		}
	}
	return sum
}

// courseLang is the language of courses: the source is the name.
type courseLang struct{}

func (courseLang) Name() string { return courseLanguage }

func (courseLang) Compile(d *workflow.Definition) (workflow.Program, error) {
	if courses[d.Source] == nil {
		return nil, faas.Errorf("course", "compile", d.Source, faas.ErrNotFound, "no such course")
	}
	return course{courses[d.Source]}, nil
}

type course struct{ stages []stage }

// courseState is the state of a course, and as JSON its snapshot.
type courseState struct {
	Self             workflow.ExecutionRef
	Stage, Left, Sum int
}

// Step implements workflow.Program.
func (p course) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	st, _ := s.(*courseState)
	switch e.Kind {
	case workflow.ExecutionStarted:
		st = &courseState{Self: e.Start.Execution, Stage: -1}
	case workflow.StepSucceeded:
		if data, ok := e.Payload.InHand(); ok && len(data) > 0 {
			n, err := strconv.Atoi(string(data))
			if err != nil {
				return st, nil, faas.Errorf("course", "step", e.Step, faas.ErrConflict, "the result %q is no number", data)
			}
			st.Sum += n
		}
		st.Left--
	case workflow.StepFailed:
		return st, []workflow.Command{{Kind: workflow.CommandFail, Failure: e.Failure}}, nil
	default:
		return st, nil, nil
	}
	if st.Left > 0 {
		return st, nil, nil
	}
	if st.Stage++; st.Stage == len(p.stages) {
		return st, []workflow.Command{{Kind: workflow.CommandSucceed, Payload: workflow.JSON(strconv.Itoa(st.Sum))}}, nil
	}
	commands := p.stages[st.Stage].open(st, e)
	st.Left = 0
	for _, c := range commands {
		if c.Kind.Opens() {
			st.Left++
		}
	}
	return st, commands, nil
}

var retryFlaky = &workflow.StepOptions{Retry: workflow.Retry{{Failures: []string{"Flaky"}, Max: 1000, Interval: 1e6, Rate: 1}}}

func (g stage) open(st *courseState, e *workflow.Event) (commands []workflow.Command) {
	switch g.kind {
	case workflow.CommandTimer:
		return []workflow.Command{{Kind: workflow.CommandTimer, Step: "pause", Due: e.Time.Add(5e6)}}
	case workflow.CommandActivity:
		return []workflow.Command{{Kind: workflow.CommandActivity, Step: activityName, Name: activityName}}
	case workflow.CommandChild:
		return []workflow.Command{{Kind: workflow.CommandChild, Step: "child", Target: faas.Ref{Namespace: faas.DefaultNamespace, Name: "leaf"}}}
	case workflow.CommandSignal:
		return []workflow.Command{
			{Kind: workflow.CommandWait, Step: "echo", Name: "echo"},
			{Kind: workflow.CommandSignal, Name: "echo", Execution: st.Self, Payload: workflow.JSON("1")},
		}
	}
	for _, c := range g.calls {
		function, step := split(c)
		commands = append(commands, workflow.Command{Kind: workflow.CommandCall, Step: step, Target: faas.Ref{Namespace: faas.DefaultNamespace, Name: function}, Options: retryFlaky})
	}
	return commands
}

// Snapshot implements workflow.Program.
func (course) Snapshot(s workflow.State) ([]byte, error) { return json.Marshal(s) }

// Restore implements workflow.Program.
func (course) Restore(snapshot []byte, _ workflow.PayloadSource) (workflow.State, error) {
	st := new(courseState)
	if err := json.Unmarshal(snapshot, st); err != nil {
		return nil, faas.Errorf("course", "restore", "", faas.ErrCorrupt, "%w", err)
	}
	return st, nil
}
