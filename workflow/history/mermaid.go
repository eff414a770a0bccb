package history

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/joinery/faas/workflow"
)

// colors of the states: fill and border.
var colors = map[State][2]string{
	Pending:   {"#f4f4f5", "#a1a1aa"},
	Running:   {"#dbeafe", "#2563eb"},
	Retrying:  {"#fef3c7", "#d97706"},
	Succeeded: {"#dcfce7", "#16a34a"},
	Failed:    {"#fee2e2", "#dc2626"},
}

var states = []State{Pending, Running, Retrying, Succeeded, Failed}

// Mermaid writes the graph as a Mermaid flowchart (mermaid.js.org), groups as subgraphs. With a
// run, nodes are coloured by their state and say how long they took; run may be nil.
func Mermaid(w io.Writer, g *workflow.Graph, run *Run) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "flowchart TD")
	ids := map[string]string{}
	for i, n := range g.Nodes {
		ids[n.Name] = fmt.Sprintf("n%d", i)
	}
	groups, parents := map[string][]workflow.Node{}, map[string]string{}
	for _, n := range g.Nodes {
		parents[n.Name] = n.Group
	}
	for _, n := range g.Nodes {
		parent := n.Group
		if _, known := parents[parent]; !known || cyclic(parents, n.Name) {
			parent = ""
		}
		groups[parent] = append(groups[parent], n)
	}
	var write func(parent, indent string)
	write = func(parent, indent string) {
		for _, n := range groups[parent] {
			if len(groups[n.Name]) > 0 {
				fmt.Fprintf(out, "%ssubgraph %s [\"%s\"]\n", indent, ids[n.Name], quote(label(n.Name, run)))
				write(n.Name, indent+"  ")
				fmt.Fprintf(out, "%send\n", indent)
				continue
			}
			open, end := shape(n.Kind)
			fmt.Fprintf(out, "%s%s%s\"%s\"%s\n", indent, ids[n.Name], open, quote(label(n.Name, run)), end)
		}
	}
	write("", "  ")
	for _, e := range g.Edges {
		if ids[e.From] == "" || ids[e.To] == "" {
			continue
		}
		arrow := "-->"
		if e.Choice {
			arrow = "-.->"
		}
		if e.Label != "" {
			arrow += "|\"" + quote(e.Label) + "\"|"
		}
		fmt.Fprintf(out, "  %s %s %s\n", ids[e.From], arrow, ids[e.To])
	}
	if run != nil {
		for _, s := range states {
			var in []string
			for _, n := range g.Nodes {
				if run.Node(n.Name).State == s {
					in = append(in, ids[n.Name])
				}
			}
			if len(in) > 0 {
				fmt.Fprintf(out, "  classDef %s fill:%s,stroke:%s\n  class %s %s\n", s, colors[s][0], colors[s][1], strings.Join(in, ","), s)
			}
		}
	}
	return out.Flush()
}

// cyclic reports whether a node lies, by its groups, within itself.
func cyclic(parents map[string]string, name string) bool {
	const deepest = 100
	depth := 0
	for p := parents[name]; p != ""; p = parents[p] {
		if depth++; p == name || depth > deepest {
			return true
		}
	}
	return false
}

func shape(kind string) (open, end string) {
	switch kind {
	case "choice":
		return "{", "}"
	case "start", "end":
		return "([", "])"
	case "wait", "timer", "signal":
		return "([", "])"
	}
	return "[", "]"
}

// label is a node's name, and what a run says of it.
func label(name string, run *Run) string {
	if detail := detail(name, run); detail != "" {
		return name + "\n" + detail
	}
	return name
}

// detail is a short line on a node: "3 steps, 4 attempts, 120ms".
func detail(name string, run *Run) string {
	if run == nil {
		return ""
	}
	n := run.Node(name)
	var parts []string
	if n.Steps > 1 {
		parts = append(parts, fmt.Sprintf("%d steps", n.Steps))
	}
	if n.Attempts > max(1, n.Steps) {
		parts = append(parts, fmt.Sprintf("%d attempts", n.Attempts))
	}
	if n.Busy > 0 {
		parts = append(parts, short(n.Busy))
	}
	if n.Cold > 0 {
		parts = append(parts, "cold "+short(n.Cold))
	}
	return strings.Join(parts, ", ")
}

// quote makes text safe within a quoted Mermaid label, where entities stand for characters.
func quote(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return strings.NewReplacer("&", "&amp;", "#", "&num;", `"`, "&quot;", "<", "&lt;", ">", "&gt;", "\n", "<br/>").Replace(s)
}
