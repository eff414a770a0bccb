package faas

import (
	"fmt"
	"strings"
)

// DefaultNamespace is the namespace of a Ref that names none.
const DefaultNamespace = "default"

// MaxNameLen is the longest namespace, function name, version or alias, in bytes.
const MaxNameLen = 63

// Ref names a function: "namespace/name@version".
type Ref struct {
	// Namespace is a tenant or a project. Empty: DefaultNamespace.
	Namespace string
	// Name is unique within the namespace.
	Name string
	// Version is a version number ("3"), an alias ("live"), or empty for the latest version.
	Version string
}

// Revision counts the changes of one store. It only grows; 0 is "before any change".
// Registry and naming service number their changes with it.
type Revision uint64

// ParseRef reads "[namespace/]name[@version]". The result is validated and its
// namespace filled in. ErrInvalidArgument names the part and the rule it breaks.
func ParseRef(s string) (Ref, error) {
	var r Ref
	rest := s
	if ns, after, ok := strings.Cut(rest, "/"); ok {
		if ns == "" {
			return Ref{}, Errorf("faas", "parse reference", clip(s), ErrInvalidArgument, "namespace before the slash is empty")
		}
		r.Namespace, rest = ns, after
	}
	name, version, ok := strings.Cut(rest, "@")
	if ok && version == "" {
		return Ref{}, Errorf("faas", "parse reference", clip(s), ErrInvalidArgument, "version after the @ is empty")
	}
	r.Name, r.Version = name, version
	r = r.WithDefaults()
	if err := r.Validate(); err != nil {
		return Ref{}, err
	}
	return r, nil
}

// WithDefaults returns r with an empty namespace replaced by DefaultNamespace.
func (r Ref) WithDefaults() Ref {
	if r.Namespace == "" {
		r.Namespace = DefaultNamespace
	}
	return r
}

// Unversioned returns r without its version: the function rather than one version of it.
func (r Ref) Unversioned() Ref { return Ref{Namespace: r.Namespace, Name: r.Name} }

// String is the form that ParseRef reads.
func (r Ref) String() string {
	r = r.WithDefaults()
	if r.Version == "" {
		return r.Namespace + "/" + r.Name
	}
	return r.Namespace + "/" + r.Name + "@" + r.Version
}

// Validate checks every part against the naming rule (see ValidateName) and
// returns ErrInvalidArgument naming the part. An empty namespace or version is valid.
func (r Ref) Validate() error {
	if r.Namespace != "" {
		if err := ValidateName("namespace", r.Namespace); err != nil {
			return err
		}
	}
	if err := ValidateName("name", r.Name); err != nil {
		return err
	}
	if r.Version != "" {
		return ValidateName("version", r.Version)
	}
	return nil
}

// ValidateName checks the one rule for namespaces, names, versions and aliases,
// that of a DNS label (RFC 1123): 1 to 63 bytes of a-z, 0-9 and '-', the first
// and the last not '-'. So a name is safe in a path, a host name, a label and a
// header. ErrInvalidArgument names the field and the rule.
func ValidateName(field, s string) error {
	fail := func(rule string) error {
		return &Error{Component: "faas", Op: "validate", Key: field, Class: ErrInvalidArgument,
			Err:  fmt.Errorf("%q %s", clip(s), rule),
			Next: "use 1 to 63 characters of a-z, 0-9 and '-', starting and ending with a letter or digit"}
	}
	switch {
	case s == "":
		return fail("is empty")
	case len(s) > MaxNameLen:
		return fail(fmt.Sprintf("is %d bytes long, more than %d", len(s), MaxNameLen))
	case s[0] == '-' || s[len(s)-1] == '-':
		return fail("starts or ends with '-'")
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fail(fmt.Sprintf("has %q at byte %d", c, i))
		}
	}
	return nil
}

// clip keeps hostile input from filling an error message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
