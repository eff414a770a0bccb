package fission

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)

// eval evaluates a text as an expression, in a fresh machine and in a sealed one, which must agree.
func eval(t testing.TB, text string) (any, error) {
	t.Helper()
	code, err := compileExpression(text)
	if err != nil {
		return nil, err
	}
	prelude, err := compilePrelude()
	require.NoError(t, err)
	m, err := newMachine(prelude)
	require.NoError(t, err)
	m.begin(epoch, 1, 2)
	v, err := m.run(code.program)
	if !code.pure {
		return v, err
	}
	sealed, err2 := newMachine(prelude)
	require.NoError(t, err2)
	require.NoError(t, sealed.seal())
	for range 2 {
		sealed.begin(epoch, 1, 2)
		again, err2 := sealed.run(code.program)
		require.Equal(t, err == nil, err2 == nil, "fresh %v, sealed %v", err, err2)
		require.Equal(t, v, again)
		if err2 != nil {
			break
		}
	}
	return v, err
}

func TestExpressions(t *testing.T) {
	for text, want := range map[string]any{
		"{ 1 + 2 }":            3.0,
		"{ 'a' + 1 }":          "a1",
		"{ var x = 2; x * 3 }": 6.0,
		"{ let s = ''; for (const c of 'abc') s = c + s; s }": "cba",
		`{"a": 1, "b": [true, null]}`:                         map[string]any{"a": 1.0, "b": []any{true, nil}},
		"{ ({a: undefined, f: function () {}, n: NaN}) }":     map[string]any{"n": nil},
		"{ undefined }": nil,
		"{ [1,2,3].map(function (x) { return x * 2 }).join('-') }": "2-4-6",
		"{ [3,1,2].sort()[0] }":                       1.0,
		"{ `t${1 + 1}` }":                             "t2",
		"{ 'a,b'.split(',').length }":                 2.0,
		"{ 'x1y'.replace(/\\d/, '_') }":               "x_y",
		"{ /a(b)/.exec('ab')[1] }":                    "b",
		"{ JSON.stringify({b: 1}) }":                  `{"b":1}`,
		"{ new Date().toISOString() }":                "2026-01-02T03:04:05.006Z",
		"{ new Date() }":                              "2026-01-02T03:04:05.006Z",
		"{ new Date(2020, 0, 1).getTime() }":          1577836800000.0,
		"{ new Date('2020-01-01 12:00').getHours() }": 12.0,
		"{ Date.now() }":                              float64(epoch.UnixMilli()),
		"{ Math.random() === Math.random() }":         false,
		"{ uid().length }":                            16.0,
		"{ typeof eval + typeof Function + typeof require + typeof process }": "undefinedundefinedundefinedundefined",
		"{ (function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2) })(10) }":  55.0,
		"{ Object.keys({a: 1, b: 2}).length }":                                2.0,
		"{ Object.assign({}, {a: 1}).a }":                                     1.0,
		"{ (() => { try { null.x } catch (e) { return 'caught' } })() }":      "caught",
	} {
		v, err := eval(t, text)
		require.NoError(t, err, text)
		require.Equal(t, want, v, text)
	}
}

func TestHostileExpressionsStop(t *testing.T) {
	for _, text := range []string{
		"{ while (true) {} }",
		"{ for (;;); }",
		"{ do {} while (1) }",
		"{ (function f() { return f() })() }",
		"{ (() => { try { for (;;) {} } catch (e) { return 1 } finally { for (;;) {} } })() }",
		"{ var s = 'x'; for (var i = 0; i < 60; i++) s += s; s.length }",
		"{ var s = 'x'; while (1) s = s + s }",
		"{ var s = 'x'; while (1) s = `${s}${s}` }",
		"{ 'x'.repeat(1e9) }",
		"{ 'x'.padEnd(1e9) }",
		"{ 'x'.padStart(2e9, 'y') }",
		"{ Array(1e9).fill(0).length }",
		"{ new Array(1e8).join('x') }",
		"{ [...Array(1e9)] }",
		"{ Array.from({length: 1e9}) }",
		"{ Array.apply(null, Array(1e9)) }",
		"{ Array(1e9).map(x => x) }",
		"{ var a = ['x'.repeat(1e6)]; for (var i = 0; i < 16; i++) a = a.concat(a); a.join('') }",
		"{ var a = []; for (var i = 0; i < 40; i++) a = [a, a]; JSON.stringify(a) }",
		"{ var a = []; for (var i = 0; i < 40; i++) a = [a, a]; a }",
		"{ var a = []; for (var i = 0; i < 40; i++) a = [a, a]; String(a) }",
		"{ var a = []; for (var i = 0; i < 40; i++) a = [a, a]; a.flat(Infinity) }",
		"{ var a = {}; a.a = a; a }",
		"{ 'x'.repeat(1e6).replace(/x/g, 'y'.repeat(1e6)) }",
		"{ Array(1e5).fill('x'.repeat(1e5)) }",
		"{ 10n ** 10000000n }",
		"{ /(a+)+(?=b)/.test('a'.repeat(30)) }",
		"{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaa'.match('(a+)+\\\\1b') }",
		"{ var o = {}; with (o) { x = 1 }; 1 }",
		"{ await 1 }",
		"{ (async () => 1)() }",
		"{ (function () {}).constructor('for(;;);')() }",
		"{ eval('1') }",
		"{ new Function('1')() }",
		"{ a); b; (c }",
		"{ " + strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000) + " }",
		"{ " + strings.Repeat("!", 5000) + "1 }",
		"{ " + strings.Repeat("x", maxCode) + " }",
		"{ new Set(Array(1e9)) }",
		"{ Object.fromEntries(Array(1e9)) }",
		"{ throw {toString() { for (;;) {} }} }",
		"{ ({get a() { for (;;) {} }}) }",
		"{ [1,2].sort(() => { for (;;) {} }) }",
		"{ ({valueOf() { for (;;) {} }}) + 1 }",
	} {
		v, err := eval(t, text)
		require.Error(t, err, "%.60s gives %v", text, v)
	}
}

func TestNothingPassesFromOneExpressionToTheNext(t *testing.T) {
	prelude, err := compilePrelude()
	require.NoError(t, err)
	m, err := newMachine(prelude)
	require.NoError(t, err)
	require.NoError(t, m.seal())
	for _, text := range []string{
		"{ globalThis.leak = 1 }", "{ leak = 1 }", "{ Array.prototype.leak = 1 }", "{ Object.prototype.leak = 1 }", "{ Math.leak = 1 }",
		"{ (() => { Object.getPrototypeOf(function* () {}).leak = 1 })() }", "{ Object.defineProperty(String.prototype, 'leak', {value: 1}) }",
		"{ Object.getPrototypeOf([][Symbol.iterator]()).leak = 1 }", "{ Date.leak = 1 }", "{ JSON.stringify = 1 }", "{ uid.leak = 1 }",
	} {
		code, err := compileExpression(text)
		require.NoError(t, err, text)
		m.begin(epoch, 1, 2)
		_, _ = m.run(code.program) // it may throw; what matters is the next one
		probe, err := compileExpression("{ [typeof globalThis.leak, typeof [].leak, typeof ({}).leak, typeof Math.leak, typeof ''.leak, typeof Date.leak, typeof (function* () {}).leak, typeof [][Symbol.iterator]().leak, JSON.stringify(1), typeof uid.leak].join() }")
		require.NoError(t, err)
		m.begin(epoch, 1, 2)
		v, err := m.run(probe.program)
		require.NoError(t, err, text)
		require.Equal(t, strings.Repeat("undefined,", 8)+"1,undefined", v, text)
	}
}

func FuzzExpression(f *testing.F) {
	for _, seed := range []string{"{ 1 }", "{ a: b }", "{}", "{ for (;;) {} }", "{ 'x'.repeat(9) }", "{ [..."} {
		f.Add(seed)
	}
	prelude, err := compilePrelude()
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		code, err := compileExpression("{" + text + "}")
		if err != nil {
			return
		}
		m, err := newMachine(prelude)
		require.NoError(t, err)
		m.begin(epoch, 1, 2)
		first, err := m.run(code.program)
		if err != nil {
			return
		}
		m, err = newMachine(prelude)
		require.NoError(t, err)
		m.begin(epoch, 1, 2)
		second, err := m.run(code.program)
		require.NoError(t, err)
		require.Equal(t, first, second)
	})
}

func BenchmarkExpression(b *testing.B) {
	prelude, err := compilePrelude()
	require.NoError(b, err)
	code, err := compileExpression("{ 1 + 1 }")
	require.NoError(b, err)
	m, err := newMachine(prelude)
	require.NoError(b, err)
	require.NoError(b, m.seal())
	for b.Loop() {
		m.begin(epoch, 1, 2)
		if _, err := m.run(code.program); err != nil {
			b.Fatal(err)
		}
	}
}
