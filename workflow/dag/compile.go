package dag

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/source"
	"github.com/joinery/faas/workflow/internal/taskgraph"
)

const name = "dag"

type language struct{}

// Language returns the language "dag".
func Language() workflow.Language { return language{} }

func (language) Name() string { return name }

func (language) Compile(d *workflow.Definition) (workflow.Program, error) {
	c := compiler{doc: &source.Document{}, durability: d.Durability}
	var spec Spec
	c.doc.Read(d.Source, &spec)
	program := c.compile(&spec, "")
	if err := c.doc.Err(); err != nil {
		return nil, err
	}
	return program, nil
}

// Parse reads a definition's text. Errors: ErrInvalidArgument with every fault of
// the text's form ([workflow.Diagnostics]); what it means is checked by Compile.
func Parse(text string) (Spec, error) {
	var doc source.Document
	var spec Spec
	doc.Read(text, &spec)
	return spec, doc.Err()
}

// compiler turns a Spec into a Program and collects the faults.
type compiler struct {
	doc *source.Document
	// durability is passed on to the executions of mapped groups.
	durability workflow.Durability
	tasks      []task
	from       []*Task          // by task
	at         []string         // by task, where it stands
	byName     map[string]int32 // tasks by full name
	groups     map[string]*group
	order      []string // of groups, outer ones first
	needs      [][]int32
	graph      *taskgraph.Graph
	// upstream are references that need their target to come before.
	upstream []claim
}

// group is a group of tasks.
type group struct {
	spec    *Task
	path    string
	members []int32 // all tasks within, inner groups included
	leaves  []int32
}

// claim is a reference of one task to another, or a branch to it.
type claim struct {
	path, text string
	by, to     int32
}

// scope is where a template stands.
type scope struct {
	task            int32 // -1: after all tasks
	prefix          string
	mapped, failure bool
}

func (c *compiler) compile(spec *Spec, base string) *Program {
	c.byName, c.groups = map[string]int32{}, map[string]*group{}
	path := source.Join(base, "tasks")
	if len(spec.Tasks) == 0 && !c.doc.Failed() {
		c.doc.Fault(path, "there is no task")
	}
	switch spec.WeightRule {
	case "", WeightAbsolute, WeightDownstream, WeightUpstream:
	default:
		c.doc.Fault(source.Join(base, "weightRule"), "there is no weight rule %.40q", spec.WeightRule)
	}
	c.flatten(path, "", spec.Tasks)
	if len(c.tasks) > MaxTasks {
		c.doc.Fault(path, "there are %d tasks, more than %d", len(c.tasks), MaxTasks)
		return nil
	}
	c.link()
	acyclic := c.cycles()
	for i := range c.tasks {
		c.task(int32(i))
	}
	p := &Program{tasks: c.tasks, index: c.byName, graph: c.graph, failFast: spec.FailFast}
	if spec.Output != nil {
		p.output = c.template(source.Join(base, "output"), spec.Output, scope{task: -1})
	}
	if !acyclic {
		return nil
	}
	c.checkClaims()
	c.branches()
	c.leaves(p)
	c.weigh(spec.WeightRule)
	c.finish(p)
	return p
}

// flatten numbers the tasks in the order of their names, groups opened up.
func (c *compiler) flatten(path, prefix string, tasks map[string]Task) {
	folded := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(tasks)) {
		at := source.Join(path, name)
		full := prefix + name
		if rule := checkName(name); rule != "" {
			c.doc.Fault(at, "the name %.80q %s", name, rule)
		} else if len(full) > maxName {
			c.doc.Fault(at, "the name with its groups is longer than %d bytes", maxName)
		}
		lower := strings.ToLower(name)
		if other, ok := folded[lower]; ok {
			c.doc.Fault(at, "the name differs from %q only in upper and lower case", other)
		}
		folded[lower] = name
		t := tasks[name]
		if t.Tasks != nil && t.Expand == nil {
			first := int32(len(c.tasks))
			g := &group{spec: &t, path: at}
			c.groups[full] = g
			c.order = append(c.order, full)
			c.flatten(source.Join(at, "tasks"), full+".", t.Tasks)
			for i := first; i < int32(len(c.tasks)); i++ {
				g.members = append(g.members, i)
			}
			c.checkGroup(g)
			continue
		}
		c.byName[full] = int32(len(c.tasks))
		c.tasks = append(c.tasks, task{name: full, group: strings.TrimSuffix(prefix, ".")})
		c.from = append(c.from, &t)
		c.at = append(c.at, at)
	}
}

const maxName = 200

func checkName(name string) string {
	if name == "" {
		return "is empty"
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return "has characters other than letters, digits, '-' and '_'"
		}
	}
	if len(name) > 63 {
		return "is longer than 63 bytes"
	}
	return ""
}

// checkGroup reports what a group cannot have: everything but tasks, needs and description.
func (c *compiler) checkGroup(g *group) {
	if len(g.spec.Tasks) == 0 {
		c.doc.Fault(source.Join(g.path, "tasks"), "the group has no task")
	}
	rest := *g.spec
	rest.Tasks, rest.Needs, rest.Description = nil, nil, ""
	text, _ := json.Marshal(rest) // what was read marshals
	var fields map[string]any
	_ = json.Unmarshal(text, &fields)
	for field := range fields {
		c.doc.Fault(source.Join(g.path, field), "a group has tasks and needs alone, unless it has expand")
	}
}

// find resolves a name from within the scope prefix ("a.b."), inner groups first.
func (c *compiler) find(name, prefix string) (task int32, g *group, ok bool) {
	for {
		if i, ok := c.byName[prefix+name]; ok {
			return i, nil, true
		}
		if g, ok := c.groups[prefix+name]; ok {
			return -1, g, true
		}
		if prefix == "" {
			return -1, nil, false
		}
		prefix = prefix[:strings.LastIndexByte(prefix[:len(prefix)-1], '.')+1]
	}
}

// findTask finds the task that the path begins with: the longest name that there is.
func (c *compiler) findTask(path []step, in scope) (task int32, rest []step, ok bool) {
	keys := 0
	for keys < len(path) && path[keys].key != "" {
		keys++
	}
	for n := keys; n > 0; n-- {
		if i, g, ok := c.find(joinKeys(path[:n]), in.prefix); ok && g == nil {
			return i, path[n:], true
		}
	}
	return -1, nil, false
}

func prefixOf(full string) string { return full[:strings.LastIndexByte(full, '.')+1] }

// target is a resolved entry of a needs list.
type target struct {
	task int32
	g    *group
}

// resolve reads a list of names.
func (c *compiler) resolve(path, prefix string, names []string) (targets []target) {
	seen := map[string]bool{}
	for i, name := range names {
		at := source.Index(path, i)
		task, g, ok := c.find(name, prefix)
		switch {
		case !ok:
			c.doc.Fault(at, "there is no task or group %.80q", name)
		case seen[name]:
			c.doc.Fault(at, "%q stands twice", name)
		default:
			targets = append(targets, target{task, g})
		}
		seen[name] = true
	}
	return targets
}

// link builds the graph: what groups need goes to their first tasks, and who needs a group needs its last ones.
func (c *compiler) link() {
	own := make([][]target, len(c.tasks))
	for i := range c.tasks {
		from, prefix := c.from[i], prefixOf(c.tasks[i].name)
		own[i] = c.resolve(source.Join(c.at[i], "needs"), prefix, from.Needs)
		own[i] = append(own[i], c.resolve(source.Join(c.at[i], "teardown"), prefix, from.Teardown)...)
	}
	groups := map[string][]target{}
	for _, full := range c.order {
		g := c.groups[full]
		groups[full] = c.resolve(source.Join(g.path, "needs"), prefixOf(full), g.spec.Needs)
		for _, t := range groups[full] {
			if t.g == g || t.g != nil && subset(g.members, t.g.members) || t.g == nil && slices.Contains(g.members, t.task) {
				c.doc.Fault(source.Join(g.path, "needs"), "the group needs itself or a part of itself")
			}
		}
	}
	for _, full := range slices.Backward(c.order) { // inner groups first
		c.lastOf(full, own, groups)
	}
	c.needs = make([][]int32, len(c.tasks))
	for i := range c.tasks {
		for _, t := range own[i] {
			c.need(int32(i), t)
		}
	}
	for _, full := range slices.Backward(c.order) { // what an inner group needs makes its tasks no first ones of the outer
		g := c.groups[full]
		for _, i := range g.members {
			if !slices.ContainsFunc(c.needs[i], func(n int32) bool { return within(g.members, n) }) {
				for _, t := range groups[full] {
					c.need(i, t)
				}
			}
		}
	}
	c.graph = taskgraph.New(c.needs)
}

func (c *compiler) need(i int32, t target) {
	list := []int32{t.task}
	if t.g != nil {
		list = t.g.leaves
	}
	for _, n := range list {
		if !slices.Contains(c.needs[i], n) {
			c.needs[i] = append(c.needs[i], n)
		}
	}
}

// within reports whether i is one of members, which are consecutive.
func within(members []int32, i int32) bool {
	return len(members) > 0 && i >= members[0] && i <= members[len(members)-1]
}

func subset(inner, outer []int32) bool {
	return len(inner) > 0 && within(outer, inner[0]) && within(outer, inner[len(inner)-1])
}

// lastOf finds the tasks of a group that none of the group needs.
func (c *compiler) lastOf(full string, own [][]target, groups map[string][]target) {
	g := c.groups[full]
	needed := map[int32]bool{}
	mark := func(targets []target) {
		for _, t := range targets {
			if t.g == nil {
				needed[t.task] = true
				continue
			}
			for _, leaf := range t.g.leaves {
				needed[leaf] = true
			}
		}
	}
	for _, i := range g.members {
		mark(own[i])
	}
	for _, other := range c.order {
		if strings.HasPrefix(other, full+".") {
			mark(groups[other])
		}
	}
	for _, i := range g.members {
		if !needed[i] {
			g.leaves = append(g.leaves, i)
		}
	}
}

// cycles reports cycles with the names on their way, and whether there is none.
func (c *compiler) cycles() bool {
	cycles := c.graph.Cycles(10)
	for _, cycle := range cycles {
		var way strings.Builder
		for _, i := range cycle {
			way.WriteString(c.tasks[i].name + " needs ")
		}
		c.doc.Fault(source.Join(c.at[cycle[0]], "needs"), "there is a cycle: %s%s", way.String(), c.tasks[cycle[0]].name)
	}
	return len(cycles) == 0
}

// checkClaims reports references to tasks that do not come before.
func (c *compiler) checkClaims() {
	var before *taskgraph.Reach
	for _, claim := range c.upstream {
		if slices.Contains(c.needs[claim.by], claim.to) {
			continue
		}
		if before == nil {
			before = c.graph.Ancestors()
		}
		if !before.Has(claim.by, claim.to) {
			c.doc.Fault(claim.path, "%q: the task %s does not come before %s; add it to needs", claim.text, c.tasks[claim.to].name, c.tasks[claim.by].name)
		}
	}
}

// leaves finds the tasks that decide how an execution ends: the last ones, where teardowns do not count unless they are critical.
func (c *compiler) leaves(p *Program) {
	ignored := func(i int32) bool { return c.tasks[i].teardown && !c.tasks[i].critical }
	for i := range int32(len(c.tasks)) {
		last := !ignored(i)
		for _, n := range c.graph.Next(i) {
			last = last && ignored(n)
		}
		if last {
			p.leaves = append(p.leaves, i)
			if p.output == nil {
				c.tasks[i].read = true
			}
		}
	}
}

// weigh computes priorities.
func (c *compiler) weigh(rule WeightRule) {
	if rule == "" || rule == WeightAbsolute {
		for i := range c.tasks {
			c.tasks[i].priority = c.from[i].Priority
		}
		return
	}
	reach := c.graph.Descendants()
	if rule == WeightUpstream {
		reach = c.graph.Ancestors()
	}
	own := make([]int, len(c.tasks))
	for i := range own {
		if own[i] = c.from[i].Priority; own[i] == 0 {
			own[i] = 1
		}
	}
	for i := range c.tasks {
		c.tasks[i].priority = own[i]
		for j := range reach.All(int32(i)) {
			c.tasks[i].priority += own[j]
		}
	}
}

// branches prepares what a branch can answer.
func (c *compiler) branches() {
	var after *taskgraph.Reach
	for i := range int32(len(c.tasks)) {
		t := &c.tasks[i]
		if !t.branch && t.kind != kindChoose {
			continue
		}
		if after == nil {
			after = c.graph.Descendants()
		}
		t.ways, t.behind = map[string][]int32{}, map[int32][]int32{}
		next := c.graph.Next(i)
		prefix := prefixOf(t.name)
		for _, n := range next {
			full := c.tasks[n].name
			t.ways[strings.TrimPrefix(full, prefix)] = []int32{n}
			for g := prefixOf(full); len(g) > len(prefix) && strings.HasPrefix(g, prefix); g = prefixOf(g[:len(g)-1]) {
				short := strings.TrimSuffix(strings.TrimPrefix(g, prefix), ".")
				t.ways[short] = append(t.ways[short], n)
			}
			for _, m := range next {
				if after.Has(n, m) {
					t.behind[n] = append(t.behind[n], m)
				}
			}
		}
	}
}
