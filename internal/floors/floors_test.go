// Package floors guards the architecture: imports run downwards only, and only to contracts.
package floors

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/joinery/faas"

// floor of each component's contract package.
var floor = map[string]int{
	"orchestrator/driver": 1, "orchestrator": 1, "registry": 1,
	"builder": 2, "deployer": 2,
	"router":     3,
	"autoscaler": 4, "workflow": 4,
}

// sideways are the contracts that may import another one on their own floor: the
// orchestrator's node agents start things through the driver contract.
var sideways = map[string][]string{"orchestrator": {"orchestrator/driver"}}

type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

// list runs go list in the root of the workspace.
func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,Deps"}, args...)...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs
		} else {
			require.NoError(t, err)
		}
		pkgs = append(pkgs, p)
	}
}

// component returns the component that a package (relative to the module) belongs to:
// the longest contract that is its path or a parent of it.
func component(rel string) string {
	best := ""
	for c := range floor {
		if (rel == c || strings.HasPrefix(rel, c+"/")) && len(c) > len(best) {
			best = c
		}
	}
	return best
}

func isKit(rel string) bool {
	last := rel[strings.LastIndex(rel, "/")+1:]
	return strings.HasSuffix(last, "test") && component(rel) != "" && component(rel) != rel
}

// violation says what is wrong with one import of ours; "" when nothing is.
func violation(from, to string) string {
	fromC, toC := component(from), component(to)
	switch {
	case to == "" || strings.HasPrefix(to, "internal/"):
		if from == "" {
			return "the root is a leaf"
		}
		return ""
	case from == "":
		return "the root is a leaf"
	case strings.HasPrefix(from, "internal/") || strings.HasPrefix(from, "examples") || strings.Contains(from, "/cmd/"):
		return "" // tools, commands and the wiring may import everything
	case isKit(from) && component(from) != path.Dir(from):
		return "" // the test environment of an implementation wires it with others
	case toC == "":
		return "not a contract"
	case fromC == toC && from != to && to != toC:
		// Within a component: only an internal package, or one below or above it.
		if strings.Contains(to, "/internal/") || from != fromC && strings.HasPrefix(to, from+"/") || strings.HasPrefix(from, to+"/") {
			return ""
		}
		return "an implementation"
	case to != toC:
		return "an implementation"
	case fromC == toC:
		return "" // an implementation or kit of its own contract
	case floor[toC] < floor[fromC], slices.Contains(sideways[fromC], toC):
		return ""
	case floor[toC] == floor[fromC]:
		return "sideways"
	}
	return "upwards"
}

func TestImportsRunDownwardsToContractsOnly(t *testing.T) {
	for _, p := range list(t, "work") {
		from := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		for _, imp := range p.Imports {
			if imp != module && !strings.HasPrefix(imp, module+"/") {
				if (from == "" || isKit(from)) && strings.Contains(strings.Split(imp, "/")[0], ".") {
					t.Errorf("%s imports %s: the root and the kits use the standard library only", p.ImportPath, imp)
				}
				continue
			}
			to := strings.TrimPrefix(strings.TrimPrefix(imp, module), "/")
			if why := violation(from, to); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imp, why)
			}
		}
	}
}

func TestTheRuleItself(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"router", "deployer", ""},
		{"router", "", ""},
		{"router/memrouter", "registry", ""},
		{"orchestrator", "orchestrator/driver", ""},
		{"orchestrator/cluster", "orchestrator/driver", ""},
		{"orchestrator/driver/procdriver", "internal/archive", ""},
		{"examples", "router/memrouter", ""},
		{"orchestrator/driver/driverplugin/driverplugintest", "orchestrator/driver/drivertest", ""},
		{"orchestrator/driver/dockerdriver/cmd/faas-driver-docker", "orchestrator/driver/dockerdriver", ""},
		{"registry/registrytest", "registry/memregistry", "an implementation"},
		{"", "registry", "the root is a leaf"},
		{"", "internal/archive", "the root is a leaf"},
		{"registry", "router", "upwards"},
		{"deployer", "builder", "sideways"},
		{"orchestrator/driver", "orchestrator", "sideways"},
		{"orchestrator/driver/procdriver", "deployer", "upwards"},
		{"orchestrator/driver/driverplugin/template", "orchestrator/driver/driverplugin", ""},
		{"router", "router/memrouter", "an implementation"},
		{"router/memrouter", "router/httpfront", "an implementation"},
		{"router/memrouter", "registry/memregistry", "an implementation"},
	} {
		require.Equal(t, c.want, violation(c.from, c.to), "%s imports %s", c.from, c.to)
	}
}

func TestRegistryPullsLittle(t *testing.T) {
	allowed := []string{module, "github.com/google/uuid", "golang.org/x/sync"}
	for _, p := range list(t, "-deps", "./registry") {
		if p.Standard || slices.ContainsFunc(allowed, func(a string) bool {
			return p.ImportPath == a || strings.HasPrefix(p.ImportPath, a+"/")
		}) {
			continue
		}
		t.Errorf("package registry pulls %s", p.ImportPath)
	}
}
