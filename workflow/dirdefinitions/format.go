package dirdefinitions

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// A file is a title line, "<kind> <format> sha256:<of the rest>", and the rest.

const (
	kindDefinition = "joinery-workflow"
	kindNumbers    = "joinery-numbers"
	format         = "1"
	separator      = "\n---\n"
)

func frame(kind string, body []byte) []byte {
	sum := sha256.Sum256(body)
	return append([]byte(kind+" "+format+" sha256:"+hex.EncodeToString(sum[:])+"\n"), body...)
}

func corrupt(path, format string, args ...any) error {
	err := faas.Errorf("workflow registry", "open", path, faas.ErrCorrupt, format, args...)
	err.Next = "restore the file, or remove it to do without what it holds"
	return err
}

// unframe checks the title of a file's content and returns the rest.
func unframe(path, kind string, content []byte) ([]byte, error) {
	title, body, ok := bytes.Cut(content, []byte("\n"))
	fields := bytes.Split(title, []byte(" "))
	if !ok || len(fields) != 3 || string(fields[0]) != kind {
		return nil, corrupt(path, "the first line is not %q, a format and a digest", kind)
	}
	if string(fields[1]) != format {
		return nil, faas.Errorf("workflow registry", "open", path, faas.ErrUnimplemented, "format %.20q; this version reads %s", fields[1], format)
	}
	if sum := sha256.Sum256(body); string(fields[2]) != "sha256:"+hex.EncodeToString(sum[:]) {
		return nil, corrupt(path, "the content does not match its digest")
	}
	return body, nil
}

// decodeJSON reads one JSON value that has no unknown fields.
func decodeJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the settings")
	}
	return nil
}

// encode returns the content of a version's file.
func encode(d *workflow.Definition) ([]byte, error) {
	settings := *d
	settings.Source = ""
	body, err := json.MarshalIndent(&settings, "", "  ")
	if err != nil {
		return nil, err
	}
	body = append(body, separator...)
	return frame(kindDefinition, append(body, d.Source...)), nil
}

// decode reads what encode returns.
func decode(path string, content []byte) (d workflow.Definition, err error) {
	body, err := unframe(path, kindDefinition, content)
	if err != nil {
		return d, err
	}
	settings, source, ok := bytes.Cut(body, []byte(separator)) // JSON has no line "---"
	if !ok {
		return d, corrupt(path, `there is no line "---" between settings and source`)
	}
	if err := decodeJSON(settings, &d); err != nil {
		return d, corrupt(path, "settings: %w", err)
	}
	if d.Source != "" {
		return d, corrupt(path, "the settings have a source")
	}
	d.Source = string(source)
	if err := d.Validate(); err != nil {
		return d, corrupt(path, "%w", err)
	}
	return d, nil
}

func readVersion(path string, ref faas.Ref) (workflow.Definition, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return workflow.Definition{}, failed("open", path, err)
	}
	d, err := decode(path, content)
	if err == nil && d.Ref != ref {
		err = corrupt(path, "it holds %s", d.Ref)
	}
	return d, err
}

// numbers says which numbers a workflow has used: up to Last, of which those up to Deleted are deleted.
type numbers struct {
	Last    uint64 `json:"last"`
	Deleted uint64 `json:"deleted"`
}

func (n numbers) encode() []byte {
	body, err := json.Marshal(n)
	if err != nil {
		panic(err) // numbers always marshal
	}
	return frame(kindNumbers, append(body, '\n'))
}

// readNumbers returns zeros if nothing was ever deleted.
func readNumbers(home string) (n numbers, err error) {
	path := filepath.Join(home, numbersName)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return numbers{}, nil
	}
	if err != nil {
		return numbers{}, failed("open", path, err)
	}
	body, err := unframe(path, kindNumbers, content)
	if err != nil {
		return numbers{}, err
	}
	if err := decodeJSON(body, &n); err != nil || n.Deleted > n.Last {
		return numbers{}, corrupt(path, "numbers %+v: %v", n, err)
	}
	return n, nil
}
