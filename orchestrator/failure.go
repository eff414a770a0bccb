package orchestrator

import (
	"errors"

	"github.com/joinery/faas"
)

// Failure is an error as a record: it keeps text and classes across the naming
// service. It is itself an error, and errors.Is holds for its classes.
type Failure struct {
	Message string   `json:"message"`
	Classes []string `json:"classes"`
}

// FailureOf records err; nil for nil.
func FailureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Message: err.Error()}
	for _, c := range faas.Classes() {
		if errors.Is(err, c) {
			f.Classes = append(f.Classes, c.Error())
		}
	}
	if len(f.Classes) == 0 {
		f.Classes = []string{faas.Class(err).Error()}
	}
	return f
}

// Error is the text of the recorded error.
func (f *Failure) Error() string { return f.Message }

// Unwrap returns the recorded classes.
func (f *Failure) Unwrap() []error {
	var errs []error
	for _, c := range faas.Classes() {
		for _, name := range f.Classes {
			if name == c.Error() {
				errs = append(errs, c)
			}
		}
	}
	return errs
}
