// Command kits runs every implementation's conformance tests and prints what came of
// them as the table of the README:
//
//	go run ./internal/kits
//
// A conformance test is one whose name starts with TestConformance: what follows in
// the name is the position, such as Wrapped. Clauses are its innermost subtests.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"unicode"
)

const prefix = "TestConformance"

// event is a line of `go test -json`.
type event struct {
	Action, Package, Test string
}

// position is one conformance test of one implementation.
type position struct{ implementation, name string }

// result counts a position's clauses.
type result struct{ passed, skipped, failed int }

func main() {
	ok, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "kits:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run prints the table for the packages (default: all) and reports whether all passed.
func run(packages []string) (ok bool, err error) {
	if len(packages) == 0 {
		packages = []string{"work"}
	}
	cmd := exec.Command("go", append([]string{"test", "-json", "-run", "^" + prefix}, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	ended := map[string]map[string]string{} // by package and test, the action that ended it
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil || !strings.HasPrefix(e.Test, prefix) {
			continue
		}
		if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
			if ended[e.Package] == nil {
				ended[e.Package] = map[string]string{}
			}
			ended[e.Package][e.Test] = e.Action
		}
	}
	failed := cmd.Wait()
	results := tally(ended)
	fmt.Println("| implementation | position | clauses passed | skipped | failed |")
	fmt.Println("|---|---|---|---|---|")
	for _, p := range slices.SortedFunc(maps.Keys(results), func(a, b position) int {
		return strings.Compare(a.implementation+" "+a.name, b.implementation+" "+b.name)
	}) {
		r := results[p]
		fmt.Printf("| `%s` | %s | %d | %d | %d |\n", p.implementation, p.name, r.passed, r.skipped, r.failed)
	}
	return failed == nil, lines.Err()
}

// tally counts the innermost subtests of each conformance test.
func tally(ended map[string]map[string]string) map[position]result {
	results := map[position]result{}
	for pkg, tests := range ended {
		parents := map[string]bool{}
		for test := range tests {
			for i := strings.LastIndexByte(test, '/'); i >= 0; i = strings.LastIndexByte(test[:i], '/') {
				parents[test[:i]] = true
			}
		}
		for test, action := range tests {
			if parents[test] {
				continue
			}
			top, _, _ := strings.Cut(test, "/")
			name := words(strings.TrimPrefix(top, prefix))
			if name == "" {
				name = "direct"
			}
			p := position{strings.TrimPrefix(pkg, "github.com/joinery/faas/"), name}
			r := results[p]
			switch action {
			case "pass":
				r.passed++
			case "skip":
				r.skipped++
			default:
				r.failed++
			}
			results[p] = r
		}
	}
	return results
}

// words turns "OfProcesses" into "of processes".
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
