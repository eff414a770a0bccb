package dag

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/joinery/faas/workflow"
)

// Looking into JSON texts without decoding them. The texts are valid: checked once, by jsonOf or json.Valid.

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns where the value that begins at i ends.
func skipValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		for i++; b[i] != '"'; i++ {
			if b[i] == '\\' {
				i++
			}
		}
		return i + 1
	case '{', '[':
		depth := 0
		for ; ; i++ {
			switch b[i] {
			case '"':
				i = skipValue(b, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(b) && !strings.ContainsRune(",]} \n\t\r", rune(b[i])) {
		i++
	}
	return i
}

// members calls f for each member of the object or element of the list b, until f returns false.
// key is nil in a list, else the key as it is written, in quotes.
func members(b []byte, f func(key, value []byte) bool) {
	i := skipSpace(b, 0)
	object := b[i] == '{'
	i = skipSpace(b, i+1)
	for b[i] != '}' && b[i] != ']' {
		var key []byte
		if object {
			end := skipValue(b, i)
			key = b[i:end]
			i = skipSpace(b, skipSpace(b, end)+1) // the colon
		}
		end := skipValue(b, i)
		if !f(key, b[i:end]) {
			return
		}
		if i = skipSpace(b, end); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
}

// step is one part of a path: a key, or with an empty key a position.
type step struct {
	key   string
	index int
}

// walk follows a path. ok is false if there is nothing.
func walk(b []byte, path []step) (value []byte, ok bool) {
	for _, p := range path {
		i := skipSpace(b, 0)
		if i == len(b) || p.key != "" && b[i] != '{' || p.key == "" && b[i] != '[' {
			return nil, false
		}
		var found []byte
		at := 0
		members(b, func(key, value []byte) bool {
			if key == nil {
				if at == p.index {
					found = value
				}
				at++
				return found == nil
			}
			if sameKey(key, p.key) {
				found = value // the last of several counts, as in encoding/json
			}
			return true
		})
		if found == nil {
			return nil, false
		}
		b = found
	}
	return bytes.TrimSpace(b), true
}

func sameKey(quoted []byte, key string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == key
	}
	var decoded string
	return json.Unmarshal(quoted, &decoded) == nil && decoded == key
}

var jsonNull = []byte("null")

// jsonOf is the payload as a valid JSON text: no value is null, text is a string, and other bytes are base64.
func jsonOf(media string, data []byte) ([]byte, error) {
	if len(data) == 0 {
		return jsonNull, nil
	}
	base, _, _ := strings.Cut(media, ";")
	base = strings.TrimSpace(base)
	if base == workflow.MediaTypeJSON || strings.HasSuffix(base, "+json") {
		if !json.Valid(data) {
			return nil, fault("a payload of type %s is not JSON: %.40q", media, data)
		}
		return data, nil
	}
	if strings.HasPrefix(base, "text/") {
		return json.Marshal(string(data))
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(data))
}

// truth reports whether a JSON value is true: not null, false, 0, "", [] or {}.
func truth(b []byte) bool {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return false
	}
	switch b[0] {
	case 'n', 'f':
		return false
	case '"':
		return len(b) > 2
	case '[', '{':
		return len(bytes.TrimSpace(b[1:len(b)-1])) > 0
	case 't':
		return true
	}
	var n float64
	return json.Unmarshal(b, &n) != nil || n != 0
}
