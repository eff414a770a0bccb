package dag

import (
	"encoding/json"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Spec is a definition in Go. Its JSON form is the language's text; YAML says the same.
type Spec struct {
	// Description is for people.
	Description string `json:"description,omitempty"`
	// Tasks by name: letters, digits, '-' and '_'.
	Tasks map[string]Task `json:"tasks"`
	// Output is a template of the execution's output. Nil: the output of the last task, or an object of
	// the outputs of the last tasks by name when several have none after them.
	Output any `json:"output,omitempty"`
	// FailFast ends the execution as soon as a task has failed for good and no rule after it wants to know.
	// Otherwise everything that can still run does.
	FailFast bool `json:"failFast,omitempty"`
	// WeightRule says how priorities add up. Empty: WeightAbsolute.
	WeightRule WeightRule `json:"weightRule,omitempty"`
}

// WeightRule says how a task's priority follows from the definition (Airflow's weight_rule).
type WeightRule string

// The rules. Under the first two a task that names no priority counts 1.
const (
	// WeightDownstream: its own and those of all tasks after it, so that long ways start first.
	WeightDownstream WeightRule = "downstream"
	// WeightUpstream: its own and those of all tasks before it, so that what was begun is finished first.
	WeightUpstream WeightRule = "upstream"
	// WeightAbsolute: its own.
	WeightAbsolute WeightRule = "absolute"
)

// Task is one task, a group of tasks, or a task mapped over a list. It has at most one of
// Call, Activity, Workflow, Wait, Signal, Poke, Choose and Tasks; without any it succeeds at once with its Input as output.
type Task struct {
	// Description is for people.
	Description string `json:"description,omitempty"`

	// Call invokes a function, "[namespace/]name[@version]"; the namespace is the execution's unless named.
	Call string `json:"call,omitempty"`
	// Activity is done by a pull worker that polls this name.
	Activity string `json:"activity,omitempty"`
	// Workflow runs another workflow as a child, "[namespace/]name[@version]".
	Workflow string `json:"workflow,omitempty"`
	// Wait sleeps.
	Wait *Wait `json:"wait,omitempty"`
	// Signal waits for an external event of this name, at most Timeout. The event's value is the output.
	Signal string `json:"signal,omitempty"`
	// Poke calls a function again and again until its answer is true: not null, false, 0, "", [] or {}.
	Poke *Poke `json:"poke,omitempty"`
	// Choose picks the tasks to go on with, without calling anything.
	Choose []Choice `json:"choose,omitempty"`
	// Tasks makes it a group. What the group needs its first tasks need; who needs the group needs its last
	// tasks. With Expand each item runs the group as an execution of its own, with Input as its input and Output as
	// its output; such a group sees nothing else.
	Tasks map[string]Task `json:"tasks,omitempty"`

	// Needs are the tasks and groups that come before: names within the same group or an outer one.
	Needs []string `json:"needs,omitempty"`
	// Rule says how those must have ended. Empty: AllSuccess; AllDoneSetupSuccess for a teardown.
	Rule Rule `json:"rule,omitempty"`
	// Await starts the task as soon as that many of the needed tasks succeeded. Zero: Rule alone. Only with AllSuccess.
	Await int `json:"await,omitempty"`
	// CancelRest, with Await, closes and skips the needed tasks that are not done then.
	CancelRest bool `json:"cancelRest,omitempty"`
	// When, if it does not hold, skips the task.
	When *Condition `json:"when,omitempty"`

	// Input is a template of what the task is given. Nil: the execution's input.
	Input any `json:"input,omitempty"`
	// Output is a template of the output of a mapped group's executions.
	Output any `json:"output,omitempty"`
	// Expand maps the task over a list.
	Expand *Expand `json:"expand,omitempty"`
	// Catch turns failures into outputs; the first entry that names the failure applies, after all retries.
	Catch []Catch `json:"catch,omitempty"`

	// Branch: the output names the task, or lists those, to go on with among the tasks that directly need this
	// one. The others are skipped, unless they also come after one that is gone on with.
	Branch bool `json:"branch,omitempty"`
	// ShortCircuit skips what comes after if the output is not true: "all" of it, or "direct": only those that
	// directly need this task, and the others as their rules say.
	ShortCircuit string `json:"shortCircuit,omitempty"`
	// Setup marks a task that prepares something.
	Setup bool `json:"setup,omitempty"`
	// Teardown names the setups whose work this task undoes; it needs them too. It runs once everything it needs has
	// ended, also when the execution fails or is cancelled, and its failure fails nothing unless it is Critical.
	Teardown []string `json:"teardown,omitempty"`
	// Critical: a failed teardown fails the execution.
	Critical bool `json:"critical,omitempty"`

	// Retry are the rules by which the engine tries again.
	Retry []Retry `json:"retry,omitempty"`
	// Timeout bounds one attempt. For a signal it bounds the wait.
	Timeout Duration `json:"timeout,omitempty"`
	// Heartbeat is the longest silence of an activity or a callback.
	Heartbeat Duration `json:"heartbeat,omitempty"`
	// Deadline bounds the task with its queueing and all attempts.
	Deadline Duration `json:"deadline,omitempty"`
	// Callback: the task ends when whoever holds its token says so.
	Callback bool `json:"callback,omitempty"`
	// Pool is the pool of slots it runs in. Empty: the scheduler's default pool.
	Pool string `json:"pool,omitempty"`
	// Slots is how many slots of the pool it takes. Zero: 1.
	Slots int `json:"slots,omitempty"`
	// Priority orders ready tasks, higher first; see Spec.WeightRule.
	Priority int `json:"priority,omitempty"`
	// Header, Method, Path and Query are those of the function's request. Empty: POST "/". Query is without "?".
	Header map[string]string `json:"header,omitempty"`
	Method string            `json:"method,omitempty"`
	Path   string            `json:"path,omitempty"`
	Query  string            `json:"query,omitempty"`
	// Detached: a child workflow is started and not waited for; the output is its ID.
	Detached bool `json:"detached,omitempty"`
	// OnClose is what becomes of a child when this execution ends first. Empty: it is terminated.
	OnClose workflow.OnParentClose `json:"onClose,omitempty"`
}

// Wait is a sleep: For a time, or Until a time.
type Wait struct {
	For Duration `json:"for,omitempty"`
	// Until is a template of a time in RFC 3339.
	Until any `json:"until,omitempty"`
}

// Poke is a sensor.
type Poke struct {
	// Call is the function that is asked.
	Call string `json:"call"`
	// Every is the time between two questions. Required.
	Every Duration `json:"every"`
	// For bounds the whole of it. Zero: no bound. Then the task fails with workflow.FailureTimeout.
	For Duration `json:"for,omitempty"`
}

// Choice is one way out of a Choose: the first whose When holds is taken. The tasks named by the
// other ones are skipped.
type Choice struct {
	// When is nil in the last choice, which then always holds.
	When *Condition `json:"when,omitempty"`
	// Tasks go on: tasks and groups that directly need this one.
	Tasks []string `json:"tasks"`
}

// Condition is a comparison of Value with one other template, or a combination of
// conditions. Value alone holds if it is true: not null, false, 0, "", [] or {}.
type Condition struct {
	Value any `json:"value,omitempty"`
	// Equals and NotEquals compare any JSON values. In: the value is an element of the list.
	Equals    any `json:"equals,omitempty"`
	NotEquals any `json:"notEquals,omitempty"`
	In        any `json:"in,omitempty"`
	// These compare two numbers or two texts; anything else fails the task.
	Less        any `json:"less,omitempty"`
	LessOrEqual any `json:"lessOrEqual,omitempty"`
	Greater     any `json:"greater,omitempty"`
	AtLeast     any `json:"atLeast,omitempty"`
	// Exists holds if what the path names is there, even as null.
	Exists string `json:"exists,omitempty"`

	All []Condition `json:"all,omitempty"`
	Any []Condition `json:"any,omitempty"`
	Not *Condition  `json:"not,omitempty"`
}

// Expand maps a task over a list: one instance for each item, with the item as template root
// "item" and its position, from 0, as "index". The output of the task is the list of the outputs in order, null for an instance
// without one. An empty list skips the task.
type Expand struct {
	// Over is a template of the list.
	Over any `json:"over"`
	// Concurrency is how many instances run at once. Zero: DefaultConcurrency.
	Concurrency int `json:"concurrency,omitempty"`
	// Max is the longest list; a longer one fails the task with workflow.FailureLimit. Zero: DefaultMaxItems.
	Max int `json:"max,omitempty"`
}

// Bounds of a definition.
const (
	// DefaultConcurrency is how many instances of a mapped task run at once.
	DefaultConcurrency = 1000
	// DefaultMaxItems is the longest list that a task is mapped over.
	DefaultMaxItems = 100_000
	// MaxTasks is how many tasks a definition may have, those of mapped groups aside.
	MaxTasks = 20_000
)

// Catch turns failures into an output.
type Catch struct {
	// Failures are names of failures, or workflow.AnyFailure.
	Failures []string `json:"failures"`
	// Output is a template with the root "failure": {"name", "cause", "status"}. Nil: that object.
	Output any `json:"output,omitempty"`
}

// Retry is one rule; see workflow.RetryRule.
type Retry struct {
	// Failures are names of failures. Empty: workflow.AnyFailure.
	Failures    []string        `json:"failures,omitempty"`
	Max         int             `json:"max"`
	Interval    Duration        `json:"interval,omitempty"`
	Rate        float64         `json:"rate,omitempty"`
	MaxInterval Duration        `json:"maxInterval,omitempty"`
	Jitter      workflow.Jitter `json:"jitter,omitempty"`
}

// Duration is a time.Duration whose text form is that of time.ParseDuration: "1m30s".
type Duration time.Duration

// MarshalText writes "1m30s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads. ErrInvalidArgument if it is none, or negative.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < 0 {
		return faas.Errorf("workflow registry", "read duration", "", faas.ErrInvalidArgument, `%.40q is not a duration from 0 to 292 years such as "1m30s"`, text)
	}
	*d = Duration(parsed)
	return nil
}

// From is the template of what stands at the path: From("tasks.split.output.files[0]").
func From(path string) any { return map[string]any{"from": path} }

// FromOr is From with a value, or template, to take when nothing is there.
func FromOr(path string, otherwise any) any {
	return map[string]any{"from": path, "default": otherwise}
}

// Join is the template of a text: its parts, which may be templates, one after the other.
func Join(parts ...any) any { return map[string]any{"join": parts} }

// Literal is the template of a value that is not looked into: for objects that look like templates.
func Literal(value any) any { return map[string]any{"literal": value} }

// Definition writes the text of s and returns it as a definition, compiled once to find its
// faults. Errors: ErrInvalidArgument, with every fault as [workflow.Diagnostics].
func (s Spec) Definition(ref faas.Ref) (workflow.Definition, error) {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return workflow.Definition{}, faas.Errorf("workflow registry", "encode", ref.String(), faas.ErrInvalidArgument, "%w", err)
	}
	d := workflow.Definition{Ref: ref, Language: name, Source: string(text)}
	if _, err := Language().Compile(&d); err != nil {
		return workflow.Definition{}, err
	}
	return d, nil
}
