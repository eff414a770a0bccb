package archive

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/clip"
)

// Bounds of a name, in bytes.
const (
	maxName    = 1024
	maxElement = 255
)

type kind byte

const (
	implied kind = iota + 1 // a directory seen only as somebody's parent
	directory
	file
	link
)

// rules is what every tree obeys, unpacked or packed: names that are the same on
// every system, no two that differ only in case, no link that leads out, bounded sizes.
type rules struct {
	limits  Limits
	kinds   map[string]kind
	folded  map[string]string // case-folded name to name
	bytes   int64
	entries int
}

func newRules(l Limits) *rules {
	return &rules{limits: l.withDefaults(), kinds: map[string]kind{}, folded: map[string]string{}}
}

// add admits an entry and returns its clean name; "." is the root itself, to be skipped.
func (t *rules) add(name string, k kind) (string, error) {
	clean, err := cleanName(name)
	if err != nil {
		return "", err
	}
	if t.entries++; t.entries > t.limits.Entries {
		return "", refuse(name, "there are more than %d entries", t.limits.Entries)
	}
	if clean == "." {
		if k != directory {
			return "", refuse(name, "names the root itself")
		}
		return clean, nil
	}
	for i := 0; i < len(clean); i++ {
		if clean[i] != '/' {
			continue
		}
		parent := clean[:i]
		switch t.kinds[parent] {
		case file:
			return "", refuse(name, "is below %q, which is a file", clip.Text(parent))
		case link:
			return "", refuse(name, "is written through the symbolic link %q", clip.Text(parent))
		case 0:
			if err := t.fold(name, parent); err != nil {
				return "", err
			}
			t.kinds[parent] = implied
		}
	}
	switch old := t.kinds[clean]; {
	case old == implied && k == directory:
	case old != 0:
		return "", refuse(name, "is there twice")
	default:
		if err := t.fold(name, clean); err != nil {
			return "", err
		}
	}
	t.kinds[clean] = k
	return clean, nil
}

func (t *rules) fold(entry, name string) error {
	key := strings.ToLower(strings.ToUpper(name))
	if other, ok := t.folded[key]; ok && other != name {
		return refuse(entry, "differs from %q only in upper and lower case", clip.Text(other))
	}
	t.folded[key] = name
	return nil
}

// grow counts n bytes of content.
func (t *rules) grow(entry string, n int64) error {
	if t.bytes += n; n < 0 || t.bytes < 0 || t.bytes > t.limits.Bytes {
		return refuse(entry, "the content is larger than %s", size(t.limits.Bytes))
	}
	return nil
}

// cleanName applies the rule for names: relative, UTF-8 without control characters, no
// backslash, no drive letter, no "..", bounded.
func cleanName(name string) (string, error) {
	switch {
	case name == "":
		return "", refuse(name, "has an empty name")
	case len(name) > maxName:
		return "", refuse(name, "has a name of %d bytes, more than %d", len(name), maxName)
	case !utf8.ValidString(name):
		return "", refuse(strings.ToValidUTF8(name, "?"), "has a name that is not UTF-8")
	case name[0] == '/':
		return "", refuse(name, "has an absolute name")
	case len(name) >= 2 && name[1] == ':' && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z'):
		return "", refuse(name, "has a drive letter in its name")
	}
	for _, r := range name {
		if r == '\\' {
			return "", refuse(name, "has a backslash in its name")
		}
		if r < ' ' || r == 0x7f {
			return "", refuse(name, "has the control character %q in its name", r)
		}
	}
	for e := range strings.SplitSeq(name, "/") {
		if e == ".." {
			return "", refuse(name, `has ".." in its name`)
		}
		if len(e) > maxElement {
			return "", refuse(name, "has a name element of %d bytes, more than %d", len(e), maxElement)
		}
	}
	return path.Clean(name), nil
}

// checkLink allows a symbolic link that stays inside: its target is relative and has ".." only
// at the beginning. As no entry is ever below a link, the directory that holds the link is a real
// one, so the leading ".." climb real directories, and what follows descends: every
// link obeys the same rule, hence no chain of them leads out.
func checkLink(name, target string) error {
	if target == "" || len(target) > maxName || target[0] == '/' || strings.ContainsAny(target, "\\\x00") ||
		len(target) >= 2 && target[1] == ':' || !utf8.ValidString(target) {
		return refuse(name, "is a symbolic link to %q, which is not a relative path", clip.Text(target))
	}
	depth, descending := strings.Count(name, "/"), false
	for e := range strings.SplitSeq(target, "/") {
		switch e {
		case "", ".":
		case "..":
			if depth--; depth < 0 || descending {
				return refuse(name, "is a symbolic link that leads out of the archive: %q", clip.Text(target))
			}
		default:
			descending = true
		}
	}
	return nil
}

// tree writes an unpacked archive below a directory.
type tree struct {
	*rules
	ctx     context.Context
	root    *os.Root
	dir     string
	created bool
}

// unpack opens the target, lets fill write into it, and on failure removes all of it. The
// target is made if it is missing (its parent must exist) and must otherwise be empty.
func unpack(ctx context.Context, dir string, lim Limits, fill func(*tree) error) (err error) {
	if ctx.Err() != nil {
		return faas.ContextError(ctx, "archive", "unpack", "")
	}
	t := &tree{rules: newRules(lim), ctx: ctx, dir: dir}
	switch err := os.Mkdir(dir, 0o755); {
	case err == nil:
		t.created = true
	case !errors.Is(err, fs.ErrExist):
		return writeError(dir, err)
	}
	if t.root, err = os.OpenRoot(dir); err != nil {
		return writeError(dir, err)
	}
	defer t.root.Close()
	if !t.created {
		if names, err := fs.ReadDir(t.root.FS(), "."); err != nil {
			return writeError(dir, err)
		} else if len(names) > 0 {
			return faas.Errorf("archive", "unpack", dir, faas.ErrAlreadyExists, "the target directory is not empty")
		}
	}
	if err = fill(t); err == nil {
		return nil
	}
	if cerr := t.remove(); cerr != nil {
		err = errors.Join(err, writeError(dir, cerr))
	}
	return err
}

func (t *tree) remove() error {
	names, err := fs.ReadDir(t.root.FS(), ".")
	for _, n := range names {
		err = errors.Join(err, t.root.RemoveAll(n.Name()))
	}
	if t.created {
		err = errors.Join(err, os.Remove(t.dir))
	}
	return err
}

func (t *tree) addDir(name string) error {
	if t.ctx.Err() != nil {
		return faas.ContextError(t.ctx, "archive", "unpack", "")
	}
	clean, err := t.add(name, directory)
	if err != nil || clean == "." {
		return err
	}
	if err := t.root.MkdirAll(clean, 0o755); err != nil {
		return writeError(name, err)
	}
	return nil
}

// parent makes the directory of a clean name.
func (t *tree) parent(clean string) error {
	if d := path.Dir(clean); d != "." {
		if err := t.root.MkdirAll(d, 0o755); err != nil {
			return writeError(clean, err)
		}
	}
	return nil
}

func (t *tree) addLink(name, target string) error {
	clean, err := t.add(name, link)
	if err != nil {
		return err
	}
	if err := checkLink(clean, target); err != nil {
		return err
	}
	if err := t.parent(clean); err != nil {
		return err
	}
	if err := t.root.Symlink(target, clean); err != nil {
		return writeError(name, err)
	}
	return nil
}

// addFile writes one file of exactly want bytes (or of whatever r yields, when want is
// negative), readable by all and executable by all or by nobody.
func (t *tree) addFile(name string, mode fs.FileMode, want int64, r io.Reader) error {
	if t.ctx.Err() != nil {
		return faas.ContextError(t.ctx, "archive", "unpack", "")
	}
	if mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		return refuse(name, "has the setuid or setgid bit")
	}
	clean, err := t.add(name, file)
	if err != nil {
		return err
	}
	if want > 0 && want > t.limits.Bytes-t.bytes {
		return t.grow(name, want)
	}
	if err := t.parent(clean); err != nil {
		return err
	}
	perm := normalise(mode)
	f, err := t.root.OpenFile(clean, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return writeError(name, err)
	}
	defer f.Close()
	n, err := io.Copy(&fileWriter{f}, io.LimitReader(r, t.limits.Bytes-t.bytes+1))
	if err != nil {
		return err
	}
	if err := t.grow(name, n); err != nil {
		return err
	}
	if want >= 0 && n != want {
		return refuse(name, "has %d bytes and claims %d", n, want)
	}
	if err := f.Chmod(perm); err != nil {
		return writeError(name, err)
	}
	if err := f.Close(); err != nil {
		return writeError(name, err)
	}
	return nil
}

// fileWriter classes write errors, to tell them from those of the archive.
type fileWriter struct{ f *os.File }

func (w *fileWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		err = writeError(w.f.Name(), err)
	}
	return n, err
}

func normalise(mode fs.FileMode) fs.FileMode {
	if mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}
