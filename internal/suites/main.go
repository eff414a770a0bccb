// Command suites runs our languages over public test suites and prints how many cases pass:
//
//	go run ./internal/suites                          lists the suites
//	go run ./internal/suites NAME... [-data DIR] [-v]  runs them; -v lists every failure
//
// The suites' data is not part of the project. It is looked for in DIR, in $JOINERY_DATA, or in ../shared/data beside the
// repository. The exit code is 1 when a case fails, 2 when a suite could not be run.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// suite is one set of cases.
type suite struct {
	name, about string
	// folder is where its data is, below the data directory.
	folder string
	// run runs every case of the folder. An error says that the data cannot be read.
	run func(folder string, t *tally) error
}

func suites() []suite {
	return []suite{airflowTriggerRules, fissionWorkflows}
}

// tally counts cases.
type tally struct {
	passed, total int
	failures      []string
}

// check counts a case; why is empty if it passed.
func (t *tally) check(name, why string) {
	t.total++
	if why == "" {
		t.passed++
		return
	}
	t.failures = append(t.failures, name+": "+why)
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("suites", flag.ContinueOnError)
	flags.SetOutput(errs)
	data := flags.String("data", "", "the data directory")
	verbose := flags.Bool("v", false, "list every failure")
	var names []string
	for len(args) > 0 { // flags may stand after names
		if err := flags.Parse(args); err != nil {
			return 2
		}
		if args = flags.Args(); len(args) > 0 {
			names, args = append(names, args[0]), args[1:]
		}
	}
	if len(names) == 0 {
		for _, s := range suites() {
			fmt.Fprintf(out, "%-24s %s\n", s.name, s.about)
		}
		return 0
	}
	code := 0
	for _, name := range names {
		i := slices.IndexFunc(suites(), func(s suite) bool { return s.name == name })
		if i < 0 {
			fmt.Fprintf(errs, "suites: there is no suite %q; without a name they are listed\n", name)
			return 2
		}
		s := suites()[i]
		folder, err := folderOf(s, *data)
		var t tally
		if err == nil {
			err = s.run(folder, &t)
		}
		if err != nil {
			fmt.Fprintf(errs, "suites: %s: %v\n", name, err)
			return 2
		}
		if *verbose {
			for _, f := range t.failures {
				fmt.Fprintf(out, "FAIL %s\n", f)
			}
		}
		fmt.Fprintf(out, "suite %s passed %d of %d\n", name, t.passed, t.total)
		if t.passed < t.total {
			code = 1
		}
	}
	return code
}

var errNoData = errors.New("the data is not there")

// folderOf finds a suite's data.
func folderOf(s suite, data string) (string, error) {
	if data == "" {
		data = os.Getenv("JOINERY_DATA")
	}
	if data == "" {
		root, err := repository()
		if err != nil {
			return "", err
		}
		data = filepath.Join(root, "..", "shared", "data")
	}
	folder := filepath.Join(data, filepath.FromSlash(s.folder))
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return "", fmt.Errorf("%w: no directory %s; say where it is with -data or JOINERY_DATA", errNoData, folder)
	}
	return folder, nil
}

// repository is the root of the repository that the command is started in.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("%w: not started within the repository; say where the data is with -data or JOINERY_DATA", errNoData)
		}
		dir = parent
	}
}
