package faas

import "regexp"

// imageForm is the grammar of references in the OCI distribution specification (and of
// github.com/distribution/reference, which Docker and the registries follow): an optional host, a
// path of lower-case components, an optional tag, an optional digest.
var imageForm = regexp.MustCompile(`^(?:(?:localhost|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*:[0-9]+|localhost:[0-9]+|\[[0-9a-fA-F:]+\](?::[0-9]+)?)/)?` +
	`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*` +
	`(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`)

const maxImageBytes = 512

// ValidateImage returns ErrInvalidArgument unless s is a reference to an OCI image:
// "name", "name:tag", "host:5000/path/name@sha256:…".
func ValidateImage(s string) error {
	if len(s) <= maxImageBytes && imageForm.MatchString(s) {
		return nil
	}
	err := Errorf("faas", "validate", "image", ErrInvalidArgument, "%q is not a reference to an OCI image", clip(s))
	err.Next = "write [host[:port]/]name[:tag][@sha256:digest] with a name in lower case"
	return err
}
