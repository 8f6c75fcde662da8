"""Which mutations there are: small faults put into a file's text, each at one place of its syntax tree.

What says nothing about behaviour is left alone: docstrings, annotations, the texts of errors and of the log, ``assert``
(which tells types here), ``__repr__``, ``__all__``, decorators and blocks for type checkers.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
}  # fmt: skip
EXTREMA = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "amin": "amax", "amax": "amin"}

SILENT = {"encoding", "non_blocking", "stacklevel", "strict"}
"""Keyword arguments that change no answer on a test's machine and data."""

NEGATED_ALREADY = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One fault: the text from ``start`` to ``end`` (in bytes of the file) becomes ``text``."""

    id: str
    file: str
    line: int
    last_line: int
    kind: str
    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        """The file's text with the fault."""
        content = source.encode()
        return (content[: self.start] + self.text.encode() + content[self.end :]).decode()


def mutations_of(source: str, file: str) -> list[Mutation]:
    """All mutations of a file, in the order of their places; the same text always gives the same ids.

    >>> [mutation.id for mutation in mutations_of("def f(x):\\n    return 1 - x\\n", "f.py")]
    ['f.py:2:return', 'f.py:2:arithmetic', 'f.py:2:complement', 'f.py:2:constant']
    """
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    taken: Counter[str] = Counter()
    found: dict[tuple[int, int, str], Mutation] = {}
    for kind, node, text in _walk(ast.parse(source)):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        if (start, end, text) in found:
            continue
        name = f"{file}:{node.lineno}:{kind}"
        taken[name] += 1
        name += f":{taken[name]}" if taken[name] > 1 else ""
        found[start, end, text] = Mutation(name, file, node.lineno, node.end_lineno, kind, start, end, text)
    return list(found.values())


Change = tuple[str, "ast.expr | ast.stmt", str]


def _walk(node: ast.AST) -> Iterator[Change]:
    """The changes of a node and of all below it, but for what is left alone."""
    if isinstance(node, (ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.pattern)):
        return
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == "__repr__":
        return
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
        return
    if isinstance(node, ast.stmt):
        yield from _of_statement(node)
    elif isinstance(node, ast.expr):
        for kind, text in _of_expression(node):
            yield kind, node, f"({text})"
    if isinstance(node, ast.Raise) or _logs(node):
        return
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not (isinstance(child, ast.keyword) and child.arg in SILENT):
                yield from _walk(child)


def _logs(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("log.", "logging.", "warnings."))


def _of_statement(node: ast.stmt) -> Iterator[Change]:
    match node:
        case ast.Expr(value=ast.Call()):
            yield "statement", node, "pass"
        case ast.Assign(targets=[ast.Attribute()]) | ast.AugAssign(target=ast.Attribute()):
            yield "assignment", node, "pass"
        case ast.AnnAssign(target=ast.Attribute(), value=ast.expr()):
            yield "assignment", node, "pass"
        case ast.Raise():
            yield "raise", node, "pass"
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "return", node, "return None"
        case ast.If(test=test) | ast.While(test=test):
            yield from _negated(test)


def _negated(test: ast.expr) -> Iterator[Change]:
    """The condition turned round, unless another mutation does just that."""
    alone = isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], NEGATED_ALREADY)
    if not alone and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
        yield "condition", test, f"(not ({ast.unparse(test)}))"


def _of_expression(node: ast.expr) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Compare(left=left, ops=[operator, *more], comparators=comparators) if type(operator) in COMPARISONS:
            other = [COMPARISONS[type(operator)](), *more]
            yield "comparison", ast.unparse(ast.Compare(left, other, comparators))
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in ARITHMETIC and not _of_text(node):
            yield "arithmetic", ast.unparse(ast.BinOp(left, ARITHMETIC[type(operator)](), right))
            if isinstance(operator, ast.Sub) and isinstance(left, ast.Constant) and left.value == 1:
                yield "complement", ast.unparse(right)
        case ast.BoolOp(op=operator, values=values):
            yield "boolean", ast.unparse(ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "boolean", ast.unparse(operand)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield "condition", ast.unparse(ast.IfExp(test, orelse, body))
        case ast.Constant(value=bool() as value):
            yield "constant", repr(not value)
        case ast.Constant(value=int() as value):
            yield "constant", repr(value + 1)
        case ast.Constant(value=float() as value):
            yield "constant", repr(2 * value if value else 1.0)
        case ast.Dict(keys=keys, values=[first, second, *rest]) if None not in keys and not _same(first, second):
            yield "values", ast.unparse(ast.Dict(keys, [second, first, *rest]))
        case ast.Call() if not _logs(node):
            yield from _of_call(node)


def _of_call(node: ast.Call) -> Iterator[tuple[str, str]]:
    function, arguments, keywords = node.func, node.args, node.keywords
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name == "detach" and isinstance(function, ast.Attribute) and not arguments:
        yield "detach", ast.unparse(function.value)
    if name in EXTREMA:
        other: ast.expr = ast.Name(EXTREMA[name], ast.Load())
        if isinstance(function, ast.Attribute):
            other = ast.Attribute(function.value, EXTREMA[name], ast.Load())
        yield "extremum", ast.unparse(ast.Call(other, arguments, keywords))
    if name not in {*EXTREMA, "isinstance", "cast", "getattr", "hasattr"} and len(arguments) > 1:
        first, second, *rest = arguments
        if not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred) and not _same(first, second):
            yield "arguments", ast.unparse(ast.Call(function, [second, first, *rest], keywords))
    for number, keyword in enumerate(keywords):
        if keyword.arg not in SILENT:
            yield "keyword", ast.unparse(ast.Call(function, arguments, keywords[:number] + keywords[number + 1 :]))


def _same(one: ast.AST, two: ast.AST) -> bool:
    return ast.dump(one) == ast.dump(two)


def _of_text(node: ast.BinOp) -> bool:
    """Whether an operator joins texts or paths, where another one only raises."""
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )
