package fission

import (
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"
	"github.com/dop251/goja/token"
	"github.com/dop251/goja/unistring"
)

// JavaScript is compiled with its work counted: every turn of a loop, call of a function and
// sum is an instruction more in the compiled code. A count is the same on every machine, a clock is not.

// maxCode is the longest expression in bytes.
const maxCode = 64 << 10

// The counting functions have names that no source can spell.
const (
	tickName  unistring.String = " tick"
	checkName unistring.String = " check"
)

// isExpression reports whether a text is an expression: it stands in braces.
func isExpression(s string) bool {
	s = strings.TrimSpace(s)
	return len(s) >= 2 && s[0] == '{' && s[len(s)-1] == '}'
}

// compileExpression compiles a text in braces: an expression, else statements whose last value counts,
// else an object.
func compileExpression(text string) (*code, error) {
	text = strings.TrimSpace(text)
	inner := text[1 : len(text)-1]
	c, first := compileCode("(" + inner + "\n)")
	if first == nil {
		c.pure = true
		return c, nil
	}
	if c, err := compileCode(inner); err == nil {
		return c, nil
	}
	if c, err := compileCode("(" + text + "\n)"); err == nil {
		c.pure = true
		return c, nil
	}
	return nil, first
}

// code is compiled JavaScript.
type code struct {
	program *goja.Program
	// pure: one expression, which declares nothing.
	pure bool
}

// compileCode compiles statements.
func compileCode(text string) (*code, error) {
	if len(text) > maxCode {
		return nil, fmt.Errorf("the expression is longer than %d bytes", maxCode)
	}
	if nesting(text) > 200 {
		return nil, fmt.Errorf("the expression is nested deeper than 200 brackets")
	}
	tree, err := parser.ParseFile(nil, "", text, 0, parser.WithDisableSourceMaps)
	if err != nil {
		return nil, fmt.Errorf("the expression is no JavaScript: %w", err)
	}
	c := counter{seen: map[uintptr]bool{}}
	c.walk(reflect.ValueOf(tree))
	if c.err != nil {
		return nil, c.err
	}
	if len(tree.Body) != 1 && strings.HasPrefix(text, "(") && strings.HasSuffix(text, "\n)") {
		return nil, fmt.Errorf("the expression is more than one") // "a); var b; (c" closes the brackets around it
	}
	program, err := goja.CompileAST(tree, false)
	if err != nil {
		return nil, fmt.Errorf("the expression is no JavaScript: %w", err)
	}
	return &code{program: program}, nil
}

// nesting is how deep brackets and prefix operators nest, at most: what a recursive parser would descend.
func nesting(text string) (deepest int) {
	depth, run := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case '!', '-', '+', '~', '?', '=':
			run++
		}
		deepest = max(deepest, depth, run/10)
	}
	return deepest
}

// counter rewrites a syntax tree.
type counter struct {
	seen map[uintptr]bool
	err  error
}

var (
	expressionType = reflect.TypeFor[ast.Expression]()
)

func (c *counter) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		c.walk(v.Elem())
		if v.CanSet() && v.Type() == expressionType {
			if e := c.counted(v.Interface().(ast.Expression)); e != nil {
				v.Set(reflect.ValueOf(e))
			}
		}
	case reflect.Pointer:
		if v.IsNil() || c.seen[v.Pointer()] {
			return
		}
		c.seen[v.Pointer()] = true
		c.walk(v.Elem())
		c.node(v.Interface())
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && f.Name != "DeclarationList" && f.Name != "File" {
				c.walk(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.walk(v.Index(i))
		}
	}
}

func call(name unistring.String, at ast.Node, args ...ast.Expression) *ast.CallExpression {
	return &ast.CallExpression{Callee: &ast.Identifier{Name: name, Idx: at.Idx0()}, ArgumentList: args, LeftParenthesis: at.Idx0(), RightParenthesis: at.Idx1()}
}

// counted returns what takes the place of an expression that can make a text longer, or nil.
func (c *counter) counted(e ast.Expression) ast.Expression {
	switch e := e.(type) {
	case *ast.BinaryExpression:
		if e.Operator == token.PLUS {
			return call(checkName, e, e)
		}
	case *ast.AssignExpression:
		if e.Operator == token.PLUS {
			return call(checkName, e, e)
		}
	case *ast.TemplateLiteral:
		if e.Tag == nil {
			return call(checkName, e, e)
		}
	}
	return nil
}

// node counts the turns of loops and the calls of functions, and refuses what cannot be counted.
func (c *counter) node(n any) {
	loop := func(body *ast.Statement) {
		at := *body
		*body = &ast.BlockStatement{LeftBrace: at.Idx0(), RightBrace: at.Idx1(), List: []ast.Statement{
			&ast.ExpressionStatement{Expression: call(tickName, at)}, at,
		}}
	}
	switch n := n.(type) {
	case *ast.ForStatement:
		loop(&n.Body)
	case *ast.ForInStatement:
		loop(&n.Body)
	case *ast.ForOfStatement:
		loop(&n.Body)
	case *ast.WhileStatement:
		loop(&n.Body)
	case *ast.DoWhileStatement:
		loop(&n.Body)
	case *ast.FunctionLiteral:
		if n.Async {
			c.refuse("async")
		}
		n.Body.List = append([]ast.Statement{&ast.ExpressionStatement{Expression: call(tickName, n.Body)}}, n.Body.List...)
	case *ast.ArrowFunctionLiteral:
		if n.Async {
			c.refuse("async")
		}
		switch body := n.Body.(type) {
		case *ast.BlockStatement:
			body.List = append([]ast.Statement{&ast.ExpressionStatement{Expression: call(tickName, body)}}, body.List...)
		case *ast.ExpressionBody:
			body.Expression = &ast.SequenceExpression{Sequence: []ast.Expression{call(tickName, body.Expression), body.Expression}}
		}
	case *ast.WithStatement:
		c.refuse("with")
	case *ast.AwaitExpression:
		c.refuse("await")
	case *ast.NumberLiteral:
		if _, ok := n.Value.(*big.Int); ok {
			c.refuse("a BigInt")
		}
	case *ast.RegExpLiteral:
		if err := checkPattern(n.Pattern); err != nil && c.err == nil {
			c.err = err
		}
	}
}

func (c *counter) refuse(what string) {
	if c.err == nil {
		c.err = fmt.Errorf("the expression uses %s, which expressions do not have", what)
	}
}

// backtracking finds what only a backtracking matcher can do; its time has no bound.
var backtracking = regexp.MustCompile(`\(\?(=|!|<)|\\[1-9]|\\k<`)

func checkPattern(pattern string) error {
	if backtracking.MatchString(pattern) {
		return fmt.Errorf("the pattern %.40q looks around or back, which expressions do not have", pattern)
	}
	return nil
}
