package driver

import (
	"errors"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/clip"
)

const component = "driver"

// Validate checks the task against the rules that hold for every driver and reports
// every fault at once; each is ErrInvalidArgument and names the field.
func (t *Task) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, faas.Errorf(component, "validate", field, faas.ErrInvalidArgument, format, args...))
	}
	if err := faas.ValidateName("id", t.ID); err != nil {
		errs = append(errs, err)
	}
	if err := faas.ValidateName("contract", string(t.Contract)); err != nil {
		errs = append(errs, err)
	}
	if t.Image != "" {
		if err := faas.ValidateImage(t.Image); err != nil {
			errs = append(errs, err)
		}
	}
	if len(t.Command) == 0 && t.Image == "" || len(t.Command) > 0 && t.Command[0] == "" {
		bad("command", "is empty")
	}
	for _, v := range t.Command {
		if strings.IndexByte(v, 0) >= 0 {
			bad("command", "has a NUL byte")
		}
	}
	for k, v := range t.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.IndexByte(v, 0) >= 0 {
			bad("env", "%q: a name is not empty and has no '=', and neither name nor value has a NUL byte", clip.Text(k))
		}
	}
	if t.Isolation < faas.IsolationNone || t.Isolation > faas.IsolationVM {
		bad("isolation", "%d is not a level", int(t.Isolation))
	}
	for _, f := range []struct {
		name string
		v    int64
	}{
		{"limits.milliCPU", t.Limits.MilliCPU}, {"limits.memory", t.Limits.Memory}, {"limits.pids", t.Limits.Pids},
		{"limits.files", t.Limits.Files}, {"limits.fileSize", t.Limits.FileSize},
		{"startTimeout", int64(t.StartTimeout)}, {"concurrency", int64(t.Concurrency)},
	} {
		if f.v < 0 {
			bad(f.name, "is negative")
		}
	}
	return errors.Join(errs...)
}

// Accepts checks the task with Validate and then against what the driver offers: a
// contract, limit or isolation level beyond it is ErrUnimplemented and says what is missing.
func (i *Info) Accepts(t *Task) error {
	if err := t.Validate(); err != nil {
		return err
	}
	lacks := func(format string, args ...any) error {
		err := faas.Errorf(component, "start", t.ID, faas.ErrUnimplemented, "driver %q "+format, append([]any{i.Name}, args...)...)
		err.Next = "choose another driver or ask for less"
		return err
	}
	if !i.Offers(t.Contract) {
		return lacks("does not offer the contract %q, only %q", t.Contract, i.Contracts)
	}
	if t.Image != "" && !i.Images {
		return lacks("does not run images, as %q", t.Image)
	}
	if t.Isolation > i.Isolation {
		return lacks("isolates at %v, less than the %v that is asked", i.Isolation, t.Isolation)
	}
	if limit := i.Limits.Missing(t.Limits); limit != "" {
		return lacks("cannot apply limits.%s here", limit)
	}
	return nil
}
