"""Integer expressions of the manifest, evaluated over a whitelist of syntax (never ``eval``).

A manifest is data: it may name sizes and combine them, and nothing else.  Syntax: integers, names,
``NAME[index]``, ``+ - * // %``, comparisons, ``and or not``, and calls of ``min max gcd inverse``.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Any

from ..errors import ManifestError

Environment = Mapping[str, Any]
Evaluate = Callable[[Environment], Any]

_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def inverse(value: int, modulus: int) -> int:
    """The inverse of ``value`` modulo ``modulus``, 0 for modulus 1; ``ValueError`` where there is none."""
    return pow(value, -1, modulus)


def _extreme(choose: Callable[[Sequence[int]], int]) -> Callable[..., int]:
    """``min`` or ``max`` of several numbers, or of the entries of one table."""

    def extreme(*values: Any) -> int:
        return int(choose(values if len(values) > 1 else values[0]))

    return extreme


_CALLS: dict[str, Callable[..., int]] = {
    "min": _extreme(min),
    "max": _extreme(max),
    "gcd": gcd,
    "inverse": inverse,
}


@dataclass(frozen=True)
class Expression:
    """A compiled expression: ``expression(sizes)`` is its value, ``names`` what it reads."""

    text: str
    names: frozenset[str]
    _run: Evaluate

    def __call__(self, environment: Environment) -> int:
        """The integer value (0 or 1 for a comparison).

        Raises ManifestError where a name is missing, an index is out of range, or a division is by zero.
        """
        try:
            return int(self._run(environment))
        except KeyError as error:
            raise ManifestError(f"expression {self.text!r}: unknown name {error.args[0]!r}") from None
        except (ArithmeticError, ValueError, IndexError, TypeError) as error:
            raise ManifestError(f"expression {self.text!r}: {error}") from None


@lru_cache(maxsize=4096)
def expression(text: str) -> Expression:
    """Compile ``text``; ManifestError for anything outside the whitelist."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        raise ManifestError(f"expression {text!r} is not an integer expression") from None
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions}
    return Expression(text, frozenset(names), _build(tree.body, text))


def _build(node: ast.expr, text: str) -> Evaluate:
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return lambda environment: value
        case ast.Name(id=name):
            return lambda environment: environment[name]
        case ast.Subscript(value=ast.Name(id=name), slice=index) if not isinstance(
            index, ast.Slice | ast.Tuple
        ):
            return _subscript(name, _build(index, text))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _unary(_UNARY[type(op)], _build(operand, text))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _binary(_BINARY[type(op)], _build(left, text), _build(right, text))
        case ast.BoolOp(op=op, values=values):
            return _junction(op, [_build(value, text) for value in values])
        case ast.Compare(left=left, ops=ops, comparators=right) if all(type(op) in _COMPARE for op in ops):
            return _chain([_build(part, text) for part in (left, *right)], [_COMPARE[type(op)] for op in ops])
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _CALLS and args:
            return _call(_CALLS[name], [_build(arg, text) for arg in args])
    raise ManifestError(f"expression {text!r}: {ast.unparse(node)!r} is not allowed")


def _subscript(name: str, index: Evaluate) -> Evaluate:
    def run(environment: Environment) -> int:
        position = int(index(environment))
        if position < 0:
            raise IndexError(f"{name}[{position}] is out of range")
        return int(environment[name][position])

    return run


def _unary(function: Callable[[Any], Any], operand: Evaluate) -> Evaluate:
    return lambda environment: function(operand(environment))


def _binary(function: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda environment: function(left(environment), right(environment))


def _junction(op: ast.boolop, operands: list[Evaluate]) -> Evaluate:
    choose = all if isinstance(op, ast.And) else any
    return lambda environment: choose(operand(environment) for operand in operands)


def _chain(operands: list[Evaluate], tests: list[Callable[[Any, Any], bool]]) -> Evaluate:
    def run(environment: Environment) -> bool:
        values = [operand(environment) for operand in operands]
        return all(test(a, b) for test, a, b in zip(tests, values, values[1:], strict=False))

    return run


def _call(function: Callable[..., int], arguments: list[Evaluate]) -> Evaluate:
    return lambda environment: function(*[argument(environment) for argument in arguments])
