package workflow

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/joinery/faas"
)

// Definition is one immutable version of a workflow, in the text of its language.
type Definition struct {
	// Ref names it; the Version is a number that the registry gives. A definition that was never
	// registered, an inline one, has no version.
	Ref faas.Ref `json:"ref"`
	// Language is the name of the Language that reads Source. Required.
	Language string `json:"language"`
	// Source is the definition's text, as it was written. At most MaxSource bytes.
	Source string `json:"source,omitempty"`
	// Durability is what the engine promises of an execution.
	Durability Durability `json:"durability,omitempty"`
	// Timeout bounds an execution. Zero: none.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Priority is added to that of each step.
	Priority int `json:"priority,omitempty"`
	// Retention is how long a closed execution is kept. Zero: the engine's default.
	Retention time.Duration `json:"retention,omitempty"`
	// Created is when it was registered.
	Created time.Time `json:"created,omitzero"`
}

// MaxSource is the largest source of a definition in bytes.
const MaxSource = 4 << 20

// Durability is what survives a crash of the engine's process.
type Durability string

const (
	// Standard: every transition is durable before it is acted on. Nothing acknowledged is lost.
	Standard Durability = ""
	// Express: the log is kept in memory alone. A crash loses the execution.
	Express Durability = "express"
)

// Digest identifies what an execution of the definition does: language, source and settings, not its name or age.
func (d *Definition) Digest() faas.Digest {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %d %d %d %d\n", d.Language, d.Durability, d.Timeout, d.Priority, d.Retention, len(d.Source))
	io.WriteString(h, d.Source)
	return faas.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}

// Validate checks everything but the source itself, which its language checks, and
// returns ErrInvalidArgument with every fault.
func (d *Definition) Validate() error {
	var errs []error
	bad := func(field, rule string) {
		errs = append(errs, faas.Errorf("workflow registry", "validate", field, faas.ErrInvalidArgument, "%s", rule))
	}
	if err := d.Ref.Validate(); err != nil {
		errs = append(errs, err)
	}
	if d.Language == "" {
		bad("language", "is empty")
	}
	if len(d.Source) > MaxSource {
		bad("source", fmt.Sprintf("is %d bytes, more than %d", len(d.Source), MaxSource))
	}
	if d.Durability != Standard && d.Durability != Express {
		bad("durability", `is neither "" (standard) nor "express"`)
	}
	if d.Timeout < 0 {
		bad("timeout", "is negative")
	}
	if d.Retention < 0 {
		bad("retention", "is negative")
	}
	return errors.Join(errs...)
}

// Language compiles definitions. Safe for concurrent use.
type Language interface {
	// Name is what a Definition's Language says: "dag".
	Name() string
	// Compile turns a definition into a Program. It is a pure function of what the definition's Digest
	// covers: the Program of one definition serves every other one with that Digest. Errors:
	// ErrInvalidArgument with every fault that can be found, each with its place ([Diagnostics]);
	// ErrNotFound when the source names code that this process does not have.
	Compile(d *Definition) (Program, error)
}

// Diagnostic is one located fault of a definition.
type Diagnostic struct {
	// Path is where: "tasks.resize.requires[0]".
	Path string `json:"path"`
	// Rule is the rule that is broken, as a sentence.
	Rule string `json:"rule"`
	// Code is the language's own code for it, if it has one.
	Code string `json:"code,omitempty"`
	// Line and Column are where in the source, from 1; 0 if not known.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
}

// Diagnostics are all faults of a definition. As an error it is an ErrInvalidArgument.
type Diagnostics []Diagnostic

// Error lists the faults, a line each, at most ten.
func (ds Diagnostics) Error() string {
	text := "workflow registry: compile: " + faas.ErrInvalidArgument.Error()
	for i, d := range ds {
		if i == 10 {
			return fmt.Sprintf("%s\n\tand %d more", text, len(ds)-i)
		}
		text += "\n\t" + d.Path + ": " + d.Rule
		if d.Line > 0 {
			text += fmt.Sprintf(" (line %d, column %d)", d.Line, d.Column)
		}
	}
	return text
}

// Unwrap makes errors.Is(err, faas.ErrInvalidArgument) true.
func (ds Diagnostics) Unwrap() error { return faas.ErrInvalidArgument }

// Err returns the faults in the order of their paths as an error, or nil if there is none.
func (ds Diagnostics) Err() error {
	if len(ds) == 0 {
		return nil
	}
	slices.SortStableFunc(ds, func(a, b Diagnostic) int { return cmp.Compare(a.Path, b.Path) })
	return ds
}

// Languages is a set of languages that compiles each definition once. Safe for concurrent use.
type Languages struct {
	byName map[string]Language

	mu       sync.Mutex
	programs map[faas.Digest]Program
	order    []faas.Digest
}

// maxPrograms bounds the compiled programs that are kept.
const maxPrograms = 10_000

// NewLanguages returns the set. ErrInvalidArgument for an empty name, ErrAlreadyExists for two of one name.
func NewLanguages(languages ...Language) (*Languages, error) {
	l := &Languages{byName: map[string]Language{}, programs: map[faas.Digest]Program{}}
	for _, language := range languages {
		name := language.Name()
		if name == "" {
			return nil, faas.Errorf("workflow", "new languages", "", faas.ErrInvalidArgument, "a language has an empty name")
		}
		if _, ok := l.byName[name]; ok {
			return nil, faas.Errorf("workflow", "new languages", name, faas.ErrAlreadyExists, "two languages have this name")
		}
		l.byName[name] = language
	}
	return l, nil
}

// Compile validates and compiles the definition, or returns the Program that it was
// compiled to before. Errors: those of Definition.Validate and Language.Compile, and
// ErrUnimplemented for a language that is not in the set.
func (l *Languages) Compile(d *Definition) (Program, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	language, ok := l.byName[d.Language]
	if !ok {
		err := faas.Errorf("workflow registry", "compile", d.Ref.String(), faas.ErrUnimplemented, "there is no language %q", d.Language)
		err.Next = "give it to workflow.NewLanguages"
		return nil, err
	}
	key := d.Digest()
	l.mu.Lock()
	p, ok := l.programs[key]
	l.mu.Unlock()
	if ok {
		return p, nil
	}
	p, err := language.Compile(d)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.programs[key]; !ok {
		if len(l.order) == maxPrograms {
			delete(l.programs, l.order[0])
			l.order = l.order[1:]
		}
		l.programs[key] = p
		l.order = append(l.order, key)
	}
	return p, nil
}

// Names returns the names of the languages, sorted. It is for messages.
func (l *Languages) Names() []string {
	names := make([]string, 0, len(l.byName))
	for name := range l.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
