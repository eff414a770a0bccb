"""Checks the syntax of the files given as JSON on stdin and the handler; prints the faults as JSON."""

import ast
import base64
import json
import sys
import warnings

warnings.simplefilter("ignore")
given = json.load(sys.stdin)
faults = []


def handlers(body, name):
    """Every statement at module level, also under if and try, that gives the name a value."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name:
            yield node
        elif isinstance(node, ast.Assign):
            if any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
                yield node
        elif isinstance(node, ast.AnnAssign):
            if isinstance(node.target, ast.Name) and node.target.id == name:
                yield node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            if any((a.asname or a.name) in (name, "*") for a in node.names):
                yield node
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from handlers(getattr(node, part, []), name)
        for h in getattr(node, "handlers", []):
            yield from handlers(h.body, name)


def takes_two(a):
    positional = len(a.posonlyargs) + len(a.args)
    required_kw = sum(d is None for d in a.kw_defaults)
    return positional - len(a.defaults) <= 2 and (positional >= 2 or a.vararg) and not required_kw


for name, text in sorted(given["files"].items()):
    try:
        tree = compile(base64.b64decode(text), name, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        compile(tree, name, "exec", dont_inherit=True)
    except SyntaxError as e:
        faults.append(["%s:%d:%d" % (name, e.lineno or 0, e.offset or 0), e.msg])
        continue
    except (ValueError, RecursionError, MemoryError) as e:
        faults.append([name, "%s: %s" % (type(e).__name__, e)])
        continue
    if name != given["entry"]:
        continue
    found = list(handlers(tree.body, given["handler"]))
    if not found:
        faults.append([name, "has no function %s(event, context)" % given["handler"]])
    for node in found:
        where = "%s:%d" % (name, node.lineno)
        if isinstance(node, ast.AsyncFunctionDef):
            faults.append([where, "%s is async; it must be a plain function" % given["handler"]])
        elif isinstance(node, ast.FunctionDef) and not takes_two(node.args):
            faults.append([where, "%s does not take two arguments (event, context)" % given["handler"]])

json.dump(faults, sys.stdout)
