"""SQL is a constant with parameters (S42)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from house.source import Finding, Source

# Methods that take nothing but SQL, and ones whose name is also used for other things.
_SQL_ONLY = {"execute", "executemany", "exec_driver_sql", "fetchrow", "fetchval", "raw_query", "query_df", "query_np"}
_MAYBE_SQL = {"command", "fetch", "query", "scalar", "scalars", "stream", "text"}
_WORDS = re.compile(
    r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|TRUNCATE|GRANT|FROM|WHERE|VALUES)\b", re.IGNORECASE
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)


def built_sql(source: Source) -> Iterator[Finding]:
    if not source.is_python or source.is_test:
        return
    for scope in ast.walk(source.tree):
        if isinstance(scope, _FUNCTIONS):
            yield from _in_scope(scope)


def _in_scope(scope: ast.FunctionDef | ast.AsyncFunctionDef | ast.Module) -> Iterator[Finding]:
    nodes = list(_own_nodes(scope))
    built = {
        target.id: node.value
        for node in nodes
        if isinstance(node, ast.Assign) and _is_built(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in nodes:
        if not isinstance(call, ast.Call) or not call.args:
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name not in _SQL_ONLY | _MAYBE_SQL:
            continue
        query = call.args[0]
        if isinstance(query, ast.Name):
            query = built.get(query.id, query)
        if _is_built(query) and (name in _SQL_ONLY or _WORDS.search(_constants(query))):
            yield Finding(call.lineno, f"{name}() with SQL that is built from values")


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Everything in a function except the functions inside it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, _FUNCTIONS):
            yield from _own_nodes(child)


def _is_built(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) and not _is_constant(part.value) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mod, ast.Add)):
        sides = (node.left, node.right)
        if not any(_is_text(side) or _is_concatenation(side) for side in sides):
            return False
        return any(
            _is_built(side) or not (_is_text(side) or _is_constant(side) or _is_concatenation(side)) for side in sides
        )
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"format", "format_map"}
        and _is_text(node.func.value)
    )


def _is_concatenation(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_constant(node: ast.expr) -> bool:
    """A literal, or a name in capitals: lists of columns may be shared between queries."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())


def _constants(node: ast.expr) -> str:
    return " ".join(
        part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )
