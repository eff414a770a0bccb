package history_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/history"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }

// log is an execution of split → count (twice, one retried) → report, with a choice not taken.
func log() []workflow.Event {
	boom := &workflow.Failure{Name: "Boom", Cause: "no luck"}
	return []workflow.Event{
		{Seq: 1, Time: at(0), Kind: workflow.ExecutionStarted, Payload: workflow.JSON(`{"n":2}`),
			Start: &workflow.Start{Definition: workflow.Definition{Ref: faas.Ref{Name: "words", Version: "3"}}}},
		{Seq: 2, Time: at(30), Kind: workflow.StepSucceeded, Step: "split", Node: "split", Attempt: 1, Began: at(10), Cold: 5 * time.Millisecond, Payload: workflow.JSON(`[1,2]`)},
		{Seq: 3, Time: at(40), Kind: workflow.StepRetrying, Step: "count[0]", Node: "count", Attempt: 1, Began: at(31), Due: at(50), Failure: boom},
		{Seq: 4, Time: at(60), Kind: workflow.StepSucceeded, Step: "count[1]", Node: "count", Attempt: 1, Began: at(31)},
		{Seq: 5, Time: at(70), Kind: workflow.StepSucceeded, Step: "count[0]", Node: "count", Attempt: 2, Began: at(50)},
		{Seq: 6, Time: at(80), Kind: workflow.StepFailed, Step: "report", Node: "report", Attempt: 1, Began: at(71), Failure: boom},
		{Seq: 7, Time: at(81), Kind: workflow.ExecutionFailed, Failure: boom},
	}
}

func graph() *workflow.Graph {
	return &workflow.Graph{
		Nodes: []workflow.Node{{Name: "split", Kind: "call"}, {Name: "counts", Kind: "group"}, {Name: "count", Kind: "map", Group: "counts"},
			{Name: "big?", Kind: "choice"}, {Name: "report", Kind: "call"}, {Name: "skip", Kind: "call"}},
		Edges: []workflow.Edge{{From: "split", To: "count"}, {From: "count", To: "big?", Label: "all_success"},
			{From: "big?", To: "report", Choice: true, Label: `n > 1 && "x"`}, {From: "big?", To: "skip", Choice: true}},
	}
}

func TestSummarize(t *testing.T) {
	run := history.Summarize(log())
	assert.Equal(t, workflow.StatusFailed, run.Status)
	assert.Equal(t, "Boom", run.Failure.Name)
	assert.Equal(t, history.Succeeded, run.Node("split").State)
	assert.Equal(t, 20*time.Millisecond, run.Node("split").Busy)
	assert.Equal(t, 5*time.Millisecond, run.Node("split").Cold)
	count := run.Node("count")
	assert.Equal(t, history.Succeeded, count.State)
	assert.Equal(t, [4]int{2, 2, 0, 3}, [4]int{count.Steps, count.SucceededSteps, count.FailedSteps, count.Attempts})
	assert.Equal(t, at(31), count.Began)
	assert.Equal(t, at(70), count.Ended)
	assert.Equal(t, history.Failed, run.Node("report").State)
	assert.Equal(t, history.Pending, run.Node("skip").State)

	half := history.Summarize(log()[:3])
	assert.Equal(t, workflow.StatusRunning, half.Status)
	assert.Equal(t, history.Retrying, half.Node("count").State)
	half.Open([]workflow.OpenStep{{Step: "count[1]", Node: "count"}, {Step: "other"}})
	assert.Equal(t, history.Retrying, half.Node("count").State, "a retry says more")
	assert.Equal(t, history.Running, half.Node("other").State)
}

func TestRedriveUndoes(t *testing.T) {
	events := append(log(),
		workflow.Event{Seq: 8, Time: at(100), Kind: workflow.ExecutionRedriven, Undone: []uint64{6, 7}},
		workflow.Event{Seq: 9, Time: at(120), Kind: workflow.StepSucceeded, Step: "report", Node: "report", Attempt: 2, Began: at(101)})
	run := history.Summarize(events)
	assert.Equal(t, workflow.StatusRunning, run.Status)
	assert.Nil(t, run.Failure)
	assert.Equal(t, history.Succeeded, run.Node("report").State)
	assert.Equal(t, 1, run.Node("report").Steps)
}

func TestExecutionGraph(t *testing.T) {
	events := []workflow.Event{{Seq: 1, Time: at(0), Kind: workflow.ExecutionStarted}}
	for i, s := range []struct {
		step         string
		began, ended int
	}{{"a", 0, 10}, {"b", 11, 30}, {"c", 11, 20}, {"d", 31, 40}} {
		events = append(events, workflow.Event{Seq: uint64(i + 2), Kind: workflow.StepSucceeded, Step: s.step, Began: at(s.began), Time: at(s.ended), Attempt: 1})
	}
	var edges []string
	for _, e := range history.Summarize(events).Graph().Edges {
		edges = append(edges, e.From+e.To)
	}
	assert.ElementsMatch(t, []string{"ab", "ac", "bd", "cd"}, edges, "a to d follows from the others")
}

func TestMermaid(t *testing.T) {
	var b strings.Builder
	require.NoError(t, history.Mermaid(&b, graph(), history.Summarize(log())))
	text := b.String()
	for _, want := range []string{
		"flowchart TD", `subgraph n1 ["counts"]`, `n2["count<br/>2 steps, 3 attempts, 58ms"]`, `n3{"big?"}`,
		`n3 -.->|"n &gt; 1 &amp;&amp; &quot;x&quot;"| n4`, "classDef failed fill:#fee2e2", "class n4 failed", "class n1,n3,n5 pending",
	} {
		assert.Contains(t, text, want)
	}
}

func TestHostileNames(t *testing.T) {
	bad := "]\"<script>alert(1)</script>\x00\x1b[31m\n\xff#"
	g := &workflow.Graph{
		Nodes: []workflow.Node{{Name: bad, Kind: "choice", Group: "g"}, {Name: "g", Group: "g"}, {Name: strings.Repeat("long", 100)}},
		Edges: []workflow.Edge{{From: bad, To: "g", Label: bad}, {From: "g", To: bad}, {From: "nowhere", To: bad}, {From: bad, To: bad}},
	}
	run := history.Summarize([]workflow.Event{{Seq: 1, Time: at(0), Kind: workflow.StepFailed, Step: bad, Failure: &workflow.Failure{Name: bad, Cause: bad}}})
	var svg, mermaid, table bytes.Buffer
	require.NoError(t, history.SVG(&svg, g, run))
	require.NoError(t, history.Mermaid(&mermaid, g, run))
	require.NoError(t, history.Table(&table, []workflow.Event{{Seq: 1, Kind: workflow.SignalReceived, Step: bad, Name: bad}}))
	wellFormed(t, svg.Bytes())
	for _, out := range []string{svg.String(), mermaid.String()} {
		assert.NotContains(t, out, "<script>")
	}
	assert.NotContains(t, table.String(), "\x1b")
	assert.Equal(t, 2, strings.Count(table.String(), "\n"), "a row stays a row")
}

func wellFormed(t *testing.T, svg []byte) {
	t.Helper()
	dec := xml.NewDecoder(bytes.NewReader(svg))
	for {
		_, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err, "%s", svg)
	}
}

func TestSVG(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, history.SVG(&b, graph(), history.Summarize(log())))
	wellFormed(t, b.Bytes())
	for _, want := range []string{">split<", "2 steps, 3 attempts, 58ms", "#fee2e2", "failed in 81ms: Boom: no luck", "stroke-dasharray"} {
		assert.Contains(t, b.String(), want)
	}
	b.Reset()
	require.NoError(t, history.SVG(&b, &workflow.Graph{}, nil))
	wellFormed(t, b.Bytes())
}

func TestSVGOfManyNodes(t *testing.T) {
	g := &workflow.Graph{}
	for i := range 10_000 {
		g.Nodes = append(g.Nodes, workflow.Node{Name: strconv.Itoa(i), Group: strconv.Itoa(i / 1000)})
		if i > 0 {
			g.Edges = append(g.Edges, workflow.Edge{From: strconv.Itoa(i / 2), To: strconv.Itoa(i)})
		}
	}
	require.NoError(t, history.SVG(io.Discard, g, nil))
	require.NoError(t, history.Mermaid(io.Discard, g, nil))
}

// pages serves a log in pages of two.
type pages []workflow.Event

func (p pages) History(_ context.Context, _ workflow.ExecutionRef, q workflow.HistoryQuery) (workflow.HistoryPage, error) {
	from, _ := strconv.Atoi(q.Token)
	page := workflow.HistoryPage{Events: p[from:min(from+2, len(p))]}
	if from+2 < len(p) {
		page.Next = strconv.Itoa(from + 2)
	}
	return page, nil
}

type bytesOf string

func (b bytesOf) Payload(context.Context, faas.Digest) ([]byte, error) { return []byte(b), nil }

func TestExportStandsAlone(t *testing.T) {
	ctx := t.Context()
	events := log()
	events[1].Payload = workflow.Reference("", "sha256:0", 5, bytesOf(`[1,2]`))
	events[5].Failure.Details = workflow.Reference("text/plain", "sha256:1", 2, bytesOf(`hi`))

	all, err := history.Events(ctx, pages(events), workflow.ExecutionRef{})
	require.NoError(t, err)
	assert.Equal(t, events, all)

	var b bytes.Buffer
	require.NoError(t, history.Export(ctx, &b, pages(events), workflow.ExecutionRef{}))
	assert.Equal(t, len(events), strings.Count(b.String(), "\n"))
	back, err := history.Import(&b)
	require.NoError(t, err)
	events[1].Payload = workflow.JSON(`[1,2]`)
	events[5].Failure.Details = workflow.Bytes("text/plain", []byte("hi"))
	assert.Equal(t, events, back)

	for _, bad := range []string{"{", "{}", "[]", `{"seq":1,"kind":"dance"}`} {
		_, err = history.Import(strings.NewReader(`{"seq":1,"time":"2026-01-02T03:04:05Z","kind":"execution-started"}` + "\n" + bad))
		require.ErrorIs(t, err, faas.ErrCorrupt, bad)
		assert.ErrorContains(t, err, "line 2")
	}
}

func ExampleTable() {
	events := []workflow.Event{
		{Seq: 1, Time: t0, Kind: workflow.ExecutionStarted, Payload: workflow.JSON(`{"n":2}`)},
		{Seq: 2, Time: t0.Add(20 * time.Millisecond), Kind: workflow.StepSucceeded, Step: "split", Attempt: 1, Began: t0, Payload: workflow.JSON("[1,2]")},
	}
	var b strings.Builder
	if err := history.Table(&b, events); err != nil {
		fmt.Println(err)
	}
	for line := range strings.Lines(b.String()) {
		fmt.Println(strings.TrimRight(line, " \n"))
	}
	// Output:
	// #  at    event              step   attempt  took  cold  what
	// 1  0s    execution-started                              {"n":2}
	// 2  20ms  step-succeeded     split  1        20ms        [1,2]
}

func ExampleMermaid() {
	g := &workflow.Graph{Nodes: []workflow.Node{{Name: "split"}, {Name: "join"}}, Edges: []workflow.Edge{{From: "split", To: "join"}}}
	var b strings.Builder
	if err := history.Mermaid(&b, g, nil); err != nil {
		fmt.Println(err)
	}
	fmt.Print(b.String())
	// Output:
	// flowchart TD
	//   n0["split"]
	//   n1["join"]
	//   n0 --> n1
}
