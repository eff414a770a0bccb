package table

import "github.com/joinery/faas"

func fail(op string, ref faas.Ref, class error, next, format string, args ...any) error {
	err := faas.Errorf("registry", op, ref.String(), class, format, args...)
	err.Next = next
	return err
}

// invalid has no key: the reference may be the hostile part, and err names the field.
func invalid(op string, err error) error {
	return faas.Errorf("registry", op, "", faas.ErrInvalidArgument, "%w", err)
}

func errClosed(op string) error {
	return faas.Errorf("registry", op, "", faas.ErrClosed, "the registry was closed")
}

func notFound(op string, ref faas.Ref) error {
	if ref.Version == "" {
		return fail(op, ref, faas.ErrNotFound, "publish it first", "no such function")
	}
	return fail(op, ref, faas.ErrNotFound, "list the function's versions and aliases", "no such version or alias")
}
