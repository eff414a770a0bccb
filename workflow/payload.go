package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"unicode/utf8"

	"github.com/joinery/faas"
)

// MediaTypeJSON is the media type of a payload that names none.
const MediaTypeJSON = "application/json"

// Payload is a value that passes between steps: an input, an output, a signal's value. It is
// immutable bytes with a media type. A small payload holds its bytes; a large one is
// held by reference, and the bytes lie in the execution's store under their digest, so that
// a Program passes it on for the price of a pointer. The zero value is "no value".
type Payload struct {
	media string
	data  []byte
	ref   *reference
}

type reference struct {
	digest faas.Digest
	size   int64
	source PayloadSource
}

// PayloadSource reads the bytes of payloads that are held by reference: a Store bound to
// one execution. Errors: ErrNotFound, ErrCorrupt, ErrUnavailable, ErrClosed.
type PayloadSource interface {
	Payload(ctx context.Context, d faas.Digest) ([]byte, error)
}

// Bytes returns a payload that holds data, which must not change any more. An empty
// media type means MediaTypeJSON.
func Bytes(media string, data []byte) Payload {
	if media == MediaTypeJSON {
		media = ""
	}
	if data == nil {
		data = []byte{}
	}
	return Payload{media: media, data: data}
}

// JSON returns a payload of a JSON text; it is not checked.
func JSON(text string) Payload { return Bytes("", []byte(text)) }

// MarshalPayload returns v as a JSON payload. ErrInvalidArgument if JSON cannot say v.
func MarshalPayload(v any) (Payload, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return Payload{}, faas.Errorf("workflow", "encode payload", "", faas.ErrInvalidArgument, "%w", err)
	}
	return Bytes("", data), nil
}

// Reference returns a payload whose bytes source has under the digest. source may be nil
// if nobody reads it; Bytes is ErrNotFound then.
func Reference(media string, d faas.Digest, size int64, source PayloadSource) Payload {
	if media == MediaTypeJSON {
		media = ""
	}
	return Payload{media: media, ref: &reference{digest: d, size: size, source: source}}
}

// IsZero reports whether there is no value; an empty value is one.
func (p Payload) IsZero() bool { return p.data == nil && p.ref == nil }

// MediaType is the media type, MediaTypeJSON unless another was named.
func (p Payload) MediaType() string {
	if p.media == "" {
		return MediaTypeJSON
	}
	return p.media
}

// Size is the number of bytes.
func (p Payload) Size() int64 {
	if p.ref != nil {
		return p.ref.size
	}
	return int64(len(p.data))
}

// Digest returns the digest of a payload held by reference; ok is false for one in hand.
func (p Payload) Digest() (d faas.Digest, ok bool) {
	if p.ref == nil {
		return "", false
	}
	return p.ref.digest, true
}

// InHand returns the bytes of a payload that is not held by reference.
func (p Payload) InHand() (data []byte, ok bool) { return p.data, p.ref == nil }

// Bytes returns the bytes, which must not be changed; those of a reference are read from
// its source. Errors: those of PayloadSource.
func (p Payload) Bytes(ctx context.Context) ([]byte, error) {
	if p.ref == nil {
		return p.data, nil
	}
	if p.ref.source == nil {
		return nil, faas.Errorf("workflow", "read payload", string(p.ref.digest), faas.ErrNotFound, "the payload is held by reference and no store is at hand")
	}
	return p.ref.source.Payload(ctx, p.ref.digest)
}

// Unmarshal reads the payload as JSON into v. Errors: those of Bytes, ErrInvalidArgument.
func (p Payload) Unmarshal(ctx context.Context, v any) error {
	data, err := p.Bytes(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return faas.Errorf("workflow", "decode payload", "", faas.ErrInvalidArgument, "%w", err)
	}
	return nil
}

// WithSource returns the payload bound to the source, which a payload read back from a
// snapshot or an export needs.
func (p Payload) WithSource(source PayloadSource) Payload {
	if p.ref != nil {
		p.ref = &reference{digest: p.ref.digest, size: p.ref.size, source: source}
	}
	return p
}

// Equal reports whether both say the same: type, and bytes or reference.
func (p Payload) Equal(o Payload) bool {
	switch {
	case p.IsZero() || o.IsZero():
		return p.IsZero() == o.IsZero()
	case p.MediaType() != o.MediaType() || (p.ref == nil) != (o.ref == nil):
		return false
	case p.ref != nil:
		return p.ref.digest == o.ref.digest && p.ref.size == o.ref.size
	}
	return bytes.Equal(p.data, o.data)
}

// payloadJSON is the lossless JSON form of a payload.
type payloadJSON struct {
	Media  string          `json:"media,omitempty"`
	JSON   json.RawMessage `json:"json,omitempty"`
	Text   *string         `json:"text,omitempty"`
	Bytes  []byte          `json:"base64,omitempty"`
	Digest faas.Digest     `json:"digest,omitempty"`
	Size   int64           `json:"size,omitempty"`
}

// MarshalJSON writes null for no value, or an object with the value as "json", "text" or
// "base64", or with the "digest" and "size" of a reference. Only formatting of a JSON value may be lost.
func (p Payload) MarshalJSON() ([]byte, error) {
	if p.IsZero() {
		return []byte("null"), nil
	}
	out := payloadJSON{Media: p.media}
	switch text := string(p.data); {
	case p.ref != nil:
		out.Digest, out.Size = p.ref.digest, p.ref.size
	case p.media == "" && json.Valid(p.data):
		out.JSON = p.data
	case utf8.ValidString(text):
		out.Text = &text
	default:
		out.Bytes = p.data
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes. A reference comes back without a source.
func (p *Payload) UnmarshalJSON(data []byte) error {
	*p = Payload{}
	if string(data) == "null" {
		return nil
	}
	var in payloadJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	switch {
	case in.Digest != "":
		*p = Reference(in.Media, in.Digest, in.Size, nil)
	case in.JSON != nil:
		*p = Bytes(in.Media, in.JSON)
	case in.Text != nil:
		*p = Bytes(in.Media, []byte(*in.Text))
	default:
		*p = Bytes(in.Media, in.Bytes)
	}
	return nil
}
