package engine

import (
	"fmt"
	"unicode/utf8"

	"github.com/joinery/faas/workflow"
)

// command does the engine's own part of a command. A command that breaks a rule ends the
// execution: the definition has a fault.
func (l *ledger) command(c *workflow.Command) {
	switch {
	case c.Kind.Opens():
		if rule := l.broken(c); rule != "" {
			l.fault("%s %q: %s", commandName(c.Kind), c.Step, rule)
			return
		}
		l.openStep(c)
	case c.Kind == workflow.CommandClose:
		if s := l.open[c.Step]; s != nil {
			l.remove(s)
		}
	case c.Kind == workflow.CommandSignal:
		if err := c.Execution.Validate(); err != nil || !validName(c.Name) {
			l.fault("signal %q to %q: the name or the receiver is malformed", c.Name, c.Execution.ID)
			return
		}
		if l.sentAt != l.seq {
			l.sentAt, l.sent = l.seq, 0
		}
		l.outbox = append(l.outbox, send{to: c.Execution.WithDefaults(), name: c.Name, value: c.Payload, ordinal: l.seq<<20 | l.sent, at: l.time})
		l.sent++
	case c.Kind == workflow.CommandAnnotate:
		l.annotate(c)
	case c.Kind.Ends():
		end := *c
		if c.Kind == workflow.CommandFail && c.Failure == nil {
			end.Failure = &workflow.Failure{Name: workflow.FailureProgram, Cause: "the definition failed without saying how"}
		}
		l.end = &end
	default:
		l.fault("there is no command %d", c.Kind)
	}
}

// fault ends the execution because its definition broke a rule.
func (l *ledger) fault(format string, args ...any) {
	l.end = &workflow.Command{Kind: workflow.CommandFail, Failure: &workflow.Failure{Name: workflow.FailureProgram, Cause: fmt.Sprintf(format, args...)}}
}

// broken returns the rule that a command which opens a step breaks.
func (l *ledger) broken(c *workflow.Command) string {
	switch {
	case c.Step == "" || len(c.Step) > workflow.MaxStepID || !utf8.ValidString(c.Step):
		return fmt.Sprintf("a step's ID is 1 to %d bytes of UTF-8", workflow.MaxStepID)
	case l.open[c.Step] != nil:
		return "the step is open already"
	case c.Kind == workflow.CommandActivity && !validName(c.Name):
		return "the activity has no valid name"
	case c.Kind == workflow.CommandWait && !validName(c.Name):
		return "the signal has no valid name"
	case c.Kind == workflow.CommandTimer && c.Due.IsZero():
		return "the timer has no time"
	case c.Kind == workflow.CommandCall || c.Kind == workflow.CommandChild && (c.Child == nil || c.Child.Definition == nil):
		if err := c.Target.Validate(); err != nil {
			return err.Error()
		}
	}
	if c.Options != l.valid {
		if err := c.Options.Validate(); err != nil {
			return err.Error()
		}
		l.valid = c.Options
	}
	return ""
}

// validName reports whether s can name a signal or an activity.
func validName(s string) bool { return s != "" && len(s) <= workflow.MaxStepID && utf8.ValidString(s) }

func (l *ledger) openStep(c *workflow.Command) {
	s := &step{cmd: *c, opened: l.time, attempt: 1}
	if s.cmd.Node == "" {
		s.cmd.Node = s.cmd.Step
	}
	if s.cmd.Target.Namespace == "" {
		s.cmd.Target.Namespace = l.ref.Namespace
	}
	if lost, ok := l.failed[c.Step]; ok {
		s.lost, s.attempt = lost, lost+1
		delete(l.failed, c.Step)
	}
	l.insert(s)
	l.fx.opened = append(l.fx.opened, s)
}

// annotate changes the search attributes and the note.
func (l *ledger) annotate(c *workflow.Command) {
	if len(c.Attributes) > 0 {
		changed := make(map[string]string, len(l.attributes)+len(c.Attributes))
		for k, v := range l.attributes {
			changed[k] = v
		}
		for k, v := range c.Attributes {
			if changed[k] = v; v == "" {
				delete(changed, k)
			}
		}
		if rule := attributesRule(changed); rule != "" {
			l.fault("annotate: %s", rule)
			return
		}
		l.attributes = changed
	}
	if c.Note != "" {
		l.note = c.Note
	}
	l.noted = true
}

// attributesRule returns the rule that search attributes break.
func attributesRule(attributes map[string]string) string {
	if len(attributes) > workflow.MaxAttributes {
		return fmt.Sprintf("%d search attributes are more than %d", len(attributes), workflow.MaxAttributes)
	}
	for k, v := range attributes {
		if k == "" || len(k) > workflow.MaxAttribute || len(v) > workflow.MaxAttribute || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Sprintf("search attribute %.40q is not 1 to %d bytes of UTF-8 with a value up to that", k, workflow.MaxAttribute)
		}
	}
	return ""
}

var commandNames = [...]string{
	workflow.CommandCall: "call", workflow.CommandActivity: "activity", workflow.CommandTimer: "timer",
	workflow.CommandWait: "wait", workflow.CommandChild: "child", workflow.CommandRecord: "record",
	workflow.CommandClose: "close", workflow.CommandSignal: "signal", workflow.CommandAnnotate: "annotate",
	workflow.CommandSucceed: "succeed", workflow.CommandFail: "fail", workflow.CommandContinue: "continue",
}

func commandName(k workflow.CommandKind) string {
	if int(k) < len(commandNames) && commandNames[k] != "" {
		return commandNames[k]
	}
	return fmt.Sprintf("command %d", k)
}
