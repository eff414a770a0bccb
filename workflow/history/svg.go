package history

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/joinery/faas/workflow"
)

// SVG writes the graph as a standalone SVG image: it needs no script, font or network. With a run,
// nodes are coloured by their state and say how often and how long they ran; run may be nil.
func SVG(w io.Writer, g *workflow.Graph, run *Run) error {
	boxes, width, height := layout(g, func(name string) string { return detail(name, run) })
	byName := map[string]*box{}
	for _, b := range boxes {
		byName[b.node.Name] = b
	}
	title := ""
	if run != nil {
		title = fmt.Sprintf("%s in %s", run.Status, short(run.Ended.Sub(run.Started)))
		if run.Failure != nil {
			title += ": " + clip(run.Failure.Error())
		}
		height += 18
	}
	width = max(width, float64(len(title))*charWidth+2*margin)

	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %[1]f %[2]f" font-family="ui-sans-serif,system-ui,sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintln(out, `<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#71717a"/></marker></defs>`)
	fmt.Fprintln(out, `<rect width="100%" height="100%" fill="#ffffff"/>`)
	groups(out, boxes)
	for _, e := range g.Edges {
		if from, to := byName[e.From], byName[e.To]; from != nil && to != nil {
			edge(out, e, from, to)
		}
	}
	for _, b := range boxes {
		draw(out, b, run)
	}
	if title != "" {
		fmt.Fprintf(out, `<text x="%.0f" y="%.0f" fill="#3f3f46">%s</text>`+"\n", margin, height-margin/2, escape(title))
	}
	fmt.Fprintln(out, "</svg>")
	return out.Flush()
}

// groups draws a dashed frame with its name around the members of each group.
func groups(out io.Writer, boxes []*box) {
	const pad = 9
	type frame struct{ x0, y0, x1, y1 float64 }
	var names []string
	frames := map[string]*frame{}
	for _, b := range boxes {
		name := b.node.Group
		if name == "" || name == b.node.Name {
			continue
		}
		f, ok := frames[name]
		if !ok {
			f = &frame{b.x, b.y, b.x, b.y}
			frames[name] = f
			names = append(names, name)
		}
		f.x0, f.y0, f.x1, f.y1 = min(f.x0, b.x), min(f.y0, b.y), max(f.x1, b.x+b.width), max(f.y1, b.y+boxHeight)
	}
	for _, name := range names {
		f := frames[name]
		fmt.Fprintf(out, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="10" fill="none" stroke="#a1a1aa" stroke-dasharray="5 4"/>`+"\n",
			f.x0-pad, f.y0-pad, f.x1-f.x0+2*pad, f.y1-f.y0+2*pad)
		fmt.Fprintf(out, `<text x="%.1f" y="%.1f" font-size="11" fill="#71717a">%s</text>`+"\n", f.x0, f.y0-pad-3, escape(clip(name)))
	}
}

func edge(out io.Writer, e workflow.Edge, from, to *box) {
	x0, y0 := from.x+from.width/2, from.y+boxHeight
	x1, y1 := to.x+to.width/2, to.y
	bend := layerGap
	if to.layer <= from.layer { // back up, beside the boxes
		x0, y0 = from.x+from.width, from.y+boxHeight/2
		x1, y1 = to.x+to.width, to.y+boxHeight/2
		fmt.Fprintf(out, `<path d="M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f"`, x0, y0, x0+bend, y0, x1+bend, y1, x1, y1)
	} else {
		fmt.Fprintf(out, `<path d="M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f"`, x0, y0, x0, y0+bend, x1, y1-bend, x1, y1)
	}
	dash := ""
	if e.Choice {
		dash = ` stroke-dasharray="4 3"`
	}
	fmt.Fprintf(out, ` fill="none" stroke="#71717a"%s marker-end="url(#arrow)"/>`+"\n", dash)
	if e.Label != "" {
		fmt.Fprintf(out, `<text x="%.1f" y="%.1f" font-size="11" fill="#52525b" text-anchor="middle">%s</text>`+"\n", (x0+x1)/2, (y0+y1)/2, escape(clip(e.Label)))
	}
}

func draw(out io.Writer, b *box, run *Run) {
	state, title := Pending, ""
	if run != nil {
		n := run.Node(b.node.Name)
		state, title = n.State, string(n.State)
		if n.Failure != nil {
			title += ": " + clip(n.Failure.Error())
		}
	}
	radius := 6.0
	switch b.node.Kind {
	case "start", "end", "wait", "timer", "signal":
		radius = boxHeight / 2
	case "choice":
		radius = 0
	}
	name, under := clip(b.node.Name), detail(b.node.Name, run)
	fmt.Fprintf(out, `<g><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" rx="%.0f" fill="%s" stroke="%s"/>`,
		escape(strings.TrimPrefix(b.node.Kind+" "+title, " ")), b.x, b.y, b.width, boxHeight, radius, colors[state][0], colors[state][1])
	middle, y := b.x+b.width/2, b.y+boxHeight/2+4
	if under != "" {
		y -= 8
		fmt.Fprintf(out, `<text x="%.1f" y="%.1f" text-anchor="middle" font-size="11" fill="#52525b">%s</text>`, middle, y+17, escape(under))
	}
	fmt.Fprintf(out, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#18181b">%s</text></g>`+"\n", middle, y, escape(name))
}

// escape makes text safe in XML, where most control characters may not stand at all.
func escape(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffe' || r == '\uffff' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd")))
}
