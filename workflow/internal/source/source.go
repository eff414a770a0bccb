// Package source reads the text of a declarative definition, YAML or JSON, into Go values and
// keeps where everything stood: every fault is reported, each with its path, line and column.
// It is stricter than the languages ask: no unknown, repeated or nearly right key, no
// merge key, one document, bounded depth and size.
package source

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/joinery/faas/workflow"
)

// Bounds of a document.
const (
	MaxDepth = 100
	maxNodes = 300_000
	// maxAliases bounds how often aliases are followed: few of them make many values.
	maxAliases = 10_000
)

// Document is what was read and what is wrong with it.
type Document struct {
	// Lenient lets a key be repeated inside free values, the last one counting, and passes over unknown fields,
	// as YAML readers of old did. A field whose name is nearly right is a fault all the same.
	Lenient bool
	faults  workflow.Diagnostics
	at      map[string]*yaml.Node
	fields  map[reflect.Type]map[string]int
	nodes   int
	aliases int
}

// Read decodes text into the value that into points to: structs by their json tags. Faults
// are kept in the document; into holds what could be read.
func (d *Document) Read(text string, into any) {
	d.at, d.fields = map[string]*yaml.Node{}, map[reflect.Type]map[string]int{}
	root := d.parse(text)
	if root != nil {
		d.decode("", root, reflect.ValueOf(into).Elem(), 0)
	}
}

// Fault adds a fault of the part at path; its place is that of the nearest part that was read.
func (d *Document) Fault(path, format string, args ...any) {
	f := workflow.Diagnostic{Path: path, Rule: fmt.Sprintf(format, args...)}
	for p := path; ; p = parent(p) {
		if n := d.at[p]; n != nil {
			f.Line, f.Column = n.Line, n.Column
			break
		}
		if p == "" {
			break
		}
	}
	if f.Path == "" {
		f.Path = "."
	}
	d.faults = append(d.faults, f)
}

// Failed reports whether a fault was found.
func (d *Document) Failed() bool { return len(d.faults) > 0 }

// Err returns all faults, or nil.
func (d *Document) Err() error { return d.faults.Err() }

func parent(path string) string {
	i := strings.LastIndexAny(path, ".[")
	return path[:max(i, 0)]
}

// Join is the path of a key below another path.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Index is the path of an element of a list.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

func (d *Document) parse(text string) *yaml.Node {
	fail := func(line int, rule string) *yaml.Node {
		d.faults = append(d.faults, workflow.Diagnostic{Path: ".", Rule: rule, Line: line})
		return nil
	}
	if !utf8.ValidString(text) {
		return fail(0, "is not UTF-8")
	}
	trimmed := strings.TrimSpace(text)
	if strings.HasPrefix(trimmed, "{") && json.Valid([]byte(trimmed)) {
		root, err := parseJSON(text)
		if err != nil {
			return fail(0, err.Error())
		}
		return root
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var root yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return fail(0, "is empty")
	case err != nil:
		line, rule := 0, err.Error()
		if m := yamlLine.FindStringSubmatch(rule); m != nil {
			line, _ = strconv.Atoi(m[1])
			rule = rule[len(m[0]):]
		}
		return fail(line, strings.TrimPrefix(rule, "yaml: "))
	}
	var more yaml.Node
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return fail(more.Line, "is more than one document")
	}
	if len(root.Content) != 1 {
		return fail(0, "is empty")
	}
	return root.Content[0]
}

// enter counts a node, notes its place and follows an alias. ok is false when a bound is reached.
func (d *Document) enter(path string, n *yaml.Node, depth int) (_ *yaml.Node, ok bool) {
	d.nodes++
	switch {
	case d.nodes == maxNodes+1:
		d.Fault(path, "is too large: more than %d values, aliases counted as often as they are used", maxNodes)
		return nil, false
	case d.nodes > maxNodes:
		return nil, false
	case depth > MaxDepth:
		d.at[path] = n
		d.Fault(path, "is nested deeper than %d levels", MaxDepth)
		return nil, false
	}
	d.at[path] = n
	if n.Kind != yaml.AliasNode {
		return n, true
	}
	if d.aliases++; d.aliases > maxAliases {
		if d.aliases == maxAliases+1 {
			d.Fault(path, "uses aliases more than %d times", maxAliases)
		}
		return nil, false
	}
	return n.Alias, true
}

// pairs calls f for the keys of a mapping, which it checks.
func (d *Document) pairs(path string, n *yaml.Node, lenient bool, f func(key string, value *yaml.Node)) {
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			d.Fault(path, "has a key that is no plain text (line %d)", n.Content[i].Line)
			continue
		}
		if first, ok := seen[k.Value]; ok && !lenient {
			at := Join(path, k.Value)
			d.faults = append(d.faults, workflow.Diagnostic{Path: at, Line: k.Line, Column: k.Column,
				Rule: fmt.Sprintf("the key %q stands twice, first in line %d", k.Value, first)})
			continue
		}
		seen[k.Value] = k.Line
		f(k.Value, n.Content[i+1])
	}
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func (d *Document) decode(path string, n *yaml.Node, v reflect.Value, depth int) {
	n, ok := d.enter(path, n, depth)
	if !ok {
		return
	}
	if n.Tag == "!!null" && v.Kind() != reflect.Interface {
		return
	}
	want := func(kind yaml.Kind, what string) bool {
		if n.Kind != kind {
			d.Fault(path, "is %s, want %s", describe(n), what)
			return false
		}
		return true
	}
	if v.CanAddr() && reflect.PointerTo(v.Type()).Implements(textUnmarshaler) {
		if want(yaml.ScalarNode, "text") {
			if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
				d.Fault(path, "%s", err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.nodes--
		d.decode(path, n, v.Elem(), depth)
	case reflect.Interface:
		value := d.value(path, n, depth)
		if value == nil {
			value = Null{}
		}
		v.Set(reflect.ValueOf(value))
	case reflect.Struct:
		if want(yaml.MappingNode, "an object") {
			d.object(path, n, v, depth)
		}
	case reflect.Map:
		if want(yaml.MappingNode, "an object") {
			v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Content)/2))
			d.pairs(path, n, false, func(key string, value *yaml.Node) {
				item := reflect.New(v.Type().Elem()).Elem()
				d.decode(Join(path, key), value, item, depth+1)
				v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), item)
			})
		}
	case reflect.Slice:
		if want(yaml.SequenceNode, "a list") {
			list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
			for i, item := range n.Content {
				d.decode(Index(path, i), item, list.Index(i), depth+1)
			}
			v.Set(list)
		}
	default:
		if want(yaml.ScalarNode, v.Kind().String()) {
			d.scalar(path, n, v)
		}
	}
}

func (d *Document) scalar(path string, n *yaml.Node, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if n.Tag != "!!str" {
			d.Fault(path, "is %s, want text; put it in quotes", describe(n))
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Tag != "!!bool" {
			d.Fault(path, "is %s, want true or false", describe(n))
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int:
		i, err := strconv.ParseInt(n.Value, 0, 32)
		if n.Tag != "!!int" || err != nil {
			d.Fault(path, "is %.40q, want a whole number between -2147483648 and 2147483647", n.Value)
			return
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		if n.Tag != "!!int" && n.Tag != "!!float" || err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			d.Fault(path, "is %.40q, want a number", n.Value)
			return
		}
		v.SetFloat(f)
	default:
		panic("source: no rule for " + v.Type().String())
	}
}

func (d *Document) object(path string, n *yaml.Node, v reflect.Value, depth int) {
	fields := d.fields[v.Type()]
	if fields == nil {
		fields = map[string]int{}
		for i := range v.NumField() {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
				fields[name] = i
			}
		}
		d.fields[v.Type()] = fields
	}
	d.pairs(path, n, false, func(key string, value *yaml.Node) {
		if i, ok := fields[key]; ok {
			d.decode(Join(path, key), value, v.Field(i), depth+1)
			return
		}
		d.at[Join(path, key)] = value
		for name := range fields {
			if strings.EqualFold(name, key) {
				d.Fault(Join(path, key), "there is no field %q; the field is %q", key, name)
				return
			}
		}
		if !d.Lenient {
			d.Fault(Join(path, key), "there is no field %.40q", key)
		}
	})
}

// Null is an explicit null in a field of type any, told from a field that is absent.
type Null struct{}

// MarshalJSON writes null.
func (Null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// value is n as JSON has it: nil, bool, int64, uint64, float64, string, []any, map[string]any.
func (d *Document) value(path string, n *yaml.Node, depth int) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		d.pairs(path, n, d.Lenient, func(key string, value *yaml.Node) {
			at := Join(path, key)
			if value, ok := d.enter(at, value, depth+1); ok {
				m[key] = d.value(at, value, depth+1)
			}
		})
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			if len(list) > 1000 && d.nodes < maxNodes && item.Kind == yaml.ScalarNode { // an element of data needs no place of its own
				d.nodes++
				list[i] = d.value(path, item, depth+1)
				continue
			}
			at := Index(path, i)
			if item, ok := d.enter(at, item, depth+1); ok {
				list[i] = d.value(at, item, depth+1)
			}
		}
		return list
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		var number any
		if err := n.Decode(&number); err == nil {
			switch x := number.(type) {
			case int:
				return int64(x)
			case int64, uint64:
				return x
			case float64:
				if !math.IsInf(x, 0) && !math.IsNaN(x) {
					return x
				}
			}
		}
		d.Fault(path, "is %.40q, a number that JSON cannot say", n.Value)
		return nil
	}
	return n.Value
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a truth value"
	case "!!null":
		return "null"
	}
	return fmt.Sprintf("the text %.40q", n.Value)
}

// parseJSON builds the tree of a valid JSON text: YAML's rules for tabs and escapes do not apply to it.
func parseJSON(text string) (*yaml.Node, error) {
	p := &jsonParser{decoder: json.NewDecoder(strings.NewReader(text)), text: []byte(text), line: 1}
	p.decoder.UseNumber()
	return p.node(0)
}

type jsonParser struct {
	decoder          *json.Decoder
	text             []byte
	seen, line, from int // what was counted: offset, line, start of the line
}

func (p *jsonParser) node(depth int) (*yaml.Node, error) {
	if depth > MaxDepth+1 {
		return nil, fmt.Errorf("is nested deeper than %d levels", MaxDepth)
	}
	n := &yaml.Node{Kind: yaml.ScalarNode}
	n.Line, n.Column = p.place()
	token, err := p.decoder.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		n.Kind = yaml.SequenceNode
		if t == '{' {
			n.Kind = yaml.MappingNode
		}
		for p.decoder.More() {
			child, err := p.node(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		_, err := p.decoder.Token()
		return n, err
	case nil:
		n.Tag, n.Value = "!!null", "null"
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(t)
	case json.Number:
		n.Tag, n.Value = "!!int", t.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case string:
		n.Tag, n.Value = "!!str", t
	}
	return n, nil
}

// place is the line and column where the next token begins.
func (p *jsonParser) place() (line, column int) {
	offset := int(p.decoder.InputOffset())
	for offset < len(p.text) && strings.IndexByte(" \t\r\n,:", p.text[offset]) >= 0 {
		offset++
	}
	for {
		i := bytes.IndexByte(p.text[p.seen:offset], '\n')
		if i < 0 {
			p.seen = offset
			return p.line, offset - p.from + 1
		}
		p.seen += i + 1
		p.from = p.seen
		p.line++
	}
}
