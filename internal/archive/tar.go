package archive

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"io"
	"strings"

	"github.com/joinery/faas/internal/clip"
)

// maxPadding bounds the zeros after the end of a tar; tools pad to their record size.
const maxPadding = 1 << 20

// UnpackTar unpacks a plain tar into dir, which must be missing or empty. See the package for the rules.
func UnpackTar(ctx context.Context, r io.Reader, dir string, lim Limits) error {
	return unpack(ctx, dir, lim, func(t *tree) error {
		in := &input{ctx: ctx, r: r}
		return t.readTar(in, in)
	})
}

// UnpackTarGz is UnpackTar for a gzip-compressed tar.
func UnpackTarGz(ctx context.Context, r io.Reader, dir string, lim Limits) error {
	return unpack(ctx, dir, lim, func(t *tree) error {
		in := &input{ctx: ctx, r: r}
		gz, err := gzip.NewReader(in)
		if err != nil {
			return in.fault("", err)
		}
		guard := &ratioGuard{r: gz, ratio: t.limits.Ratio, packed: func() int64 { return in.n }}
		return t.readTar(in, guard)
	})
}

// readTar unpacks the tar that r yields; in is the outermost stream.
func (t *tree) readTar(in *input, r io.Reader) error {
	src := &position{r: r}
	tr := tar.NewReader(src)
	last := ""
	for padding := int64(0); ; {
		before := src.n + padding
		h, err := tr.Next()
		if err == io.EOF {
			if src.n-before < 512 {
				return in.fault(last, io.ErrUnexpectedEOF) // no end mark
			}
			return t.endTar(in, src)
		}
		if err != nil {
			return in.fault(last, err)
		}
		last = h.Name
		if err := t.tarEntry(h, tr); err != nil {
			return in.fault(h.Name, err)
		}
		padding = -h.Size & 511
		if h.Typeflag != tar.TypeReg {
			padding = 0
		}
	}
}

// endTar checks that only zeros follow the end, and reads a compressed stream to its checksum.
func (t *tree) endTar(in *input, src io.Reader) error {
	buf := make([]byte, 32<<10)
	for total := 0; ; {
		n, err := src.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return refuse("", "there is data after the end of the archive")
			}
		}
		if total += n; total > maxPadding {
			return refuse("", "there are more than %s of padding after the end of the archive", size(maxPadding))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return in.fault("", err)
		}
	}
}

func (t *tree) tarEntry(h *tar.Header, body io.Reader) error {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse") {
			return refuse(h.Name, "is a sparse file")
		}
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return t.addFile(h.Name, h.FileInfo().Mode(), h.Size, body)
	case tar.TypeDir:
		return t.addDir(h.Name)
	case tar.TypeSymlink:
		return t.addLink(h.Name, h.Linkname)
	case tar.TypeXGlobalHeader:
		for k := range h.PAXRecords {
			if k != "comment" { // what git archive writes
				return refuse(h.Name, "sets the attribute %q for all entries", clip.Text(k))
			}
		}
		return nil
	case tar.TypeLink:
		return refuse(h.Name, "is a hard link; pack files instead (GNU tar: --hard-dereference)")
	case tar.TypeGNUSparse:
		return refuse(h.Name, "is a sparse file")
	case tar.TypeChar, tar.TypeBlock:
		return refuse(h.Name, "is a device")
	case tar.TypeFifo:
		return refuse(h.Name, "is a named pipe")
	}
	return refuse(h.Name, "has the unknown type %q", h.Typeflag)
}

// position counts what was read. Not being an io.Seeker, it also keeps the tar reader from seeking.
type position struct {
	r io.Reader
	n int64
}

func (p *position) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	return n, err
}
