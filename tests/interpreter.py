"""A brute-force interpreter of the kernel IR: plain loops over plain Python numbers, the oracle of the
derivation's tests.

Every nest runs twice, once with its tight bounds and guards and once over its full extents with its
conditions; the two must visit the same points in the same order, or ``Mismatch`` is raised.  A tensor is a
dict from an index tuple (the sample index last, where the tensor has samples) to a value, so that reading
outside a tensor is a KeyError and values may be floats, Fractions or SymPy expressions alike.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Any

import sympy as sp
from phiz.derive.ir import (
    Accumulator,
    Call,
    Column,
    Condition,
    Expr,
    FromInteger,
    Integer,
    IntExpr,
    IntOp,
    Kernel,
    Load,
    Loop,
    Name,
    Nest,
    Number,
    Select,
    Size,
    TableLoop,
    Temporary,
    Tensor,
)

Environment = dict[Any, Any]  # sizes, loop variables and ("relation", name) by name
Values = dict[str, dict[tuple[int, ...], Any]]
COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Mismatch(AssertionError):
    """Tight bounds with guards and full extents with conditions visit different points."""


@dataclass(frozen=True)
class Arithmetic:
    """How scalars are computed: literals from their decimal text, and the functions that are no operators."""

    number: Callable[[str], Any]
    functions: Mapping[str, Callable[..., Any]]
    lowest: Any


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


SAME_NAMES = (
    "exp",
    "erfc",
    "log",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "erf",
)


def _product_rest(z: float, c: float, single: float, double: float) -> float:
    """What rounding takes from the product of ``z`` and a number that is ``c`` and the ``double`` it lost."""
    return float(Fraction(z) * (Fraction(c) + Fraction(double)) - Fraction(z * c))


FLOAT = Arithmetic(
    float,
    {
        **{name: getattr(math, name) for name in SAME_NAMES},
        "fabs": math.fabs,
        "rsqrt": lambda z: 1 / math.sqrt(z),
        "expm1": math.expm1,
        "log1p": math.log1p,
        "sigmoid": _sigmoid,
        "sigmoid_slope": lambda z: _sigmoid(z) * _sigmoid(-z),
        "softplus": lambda z: max(z, 0.0) + math.log1p(math.exp(-abs(z))),
        "xlogy": lambda x, y: 0.0 if x == 0 else x * math.log(y),
        "xlog1py": lambda x, y: 0.0 if x == 0 else x * math.log1p(y),
        "square_rest": lambda z: _product_rest(z, z, 0.0, 0.0),
        "product_rest": _product_rest,
        "fmax": max,
        "fmin": min,
    },
    -math.inf,
)
EXACT = Arithmetic(
    sp.Rational,  # literals are exact decimals; functions build SymPy expressions
    {
        **{name: getattr(sp, name) for name in SAME_NAMES},
        "expm1": lambda z: sp.exp(z) - 1,
        "log1p": lambda z: sp.log(1 + z),
        "sigmoid": lambda z: 1 / (1 + sp.exp(-z)),
        "sigmoid_slope": lambda z: sp.exp(z) / (1 + sp.exp(z)) ** 2,
        "softplus": lambda z: sp.log(1 + sp.exp(z)),
        "xlogy": lambda x, y: x * sp.log(y),
        "xlog1py": lambda x, y: x * sp.log(1 + y),
    },
    -sp.oo,
)
INTEGER = {
    "add": lambda *a: sum(a),
    "mul": lambda *a: math.prod(a),
    "min": min,
    "max": max,
    "floordiv": lambda a, b: a // b,
    "ceildiv": lambda a, b: -(-a // b),
    "mod": lambda a, b: a % b,
    "gcd": math.gcd,
    "inverse": lambda a, m: 0 if m == 1 else pow(a, -1, m),
}
OPERATOR = {
    "add": lambda *a: reduce(operator.add, a),
    "mul": lambda *a: reduce(operator.mul, a),
    "neg": operator.neg,
    "div": operator.truediv,
    "pow": lambda a, b: a ** (int(b) if b == int(b) else b),
}


# --------------------------------------------------------------------------------------------------- integers
def integer(node: IntExpr) -> Callable[[Environment], int]:
    """``node`` as a function of the environment."""
    match node:
        case Integer(value):
            return lambda env: value
        case Name(name) | Size(name, None):
            return lambda env: env[name]
        case Size(name, index):
            at = integer(index)  # type: ignore[arg-type]
            return lambda env: env[name][at(env)]
        case Column(relation, column, row):
            key, at = ("relation", relation), integer(row)
            return lambda env: env[key][column][at(env)]
        case IntOp(op, args):
            apply, parts = INTEGER[op], [integer(a) for a in args]
            return lambda env: apply(*[part(env) for part in parts])
    raise TypeError(node)


def condition(node: Condition) -> Callable[[Environment], bool]:
    """``node`` as a function of the environment."""
    left, holds, right = integer(node.left), COMPARE[node.op], integer(node.right)
    return lambda env: holds(left(env), right(env))


# ---------------------------------------------------------------------------------------------------- kernels
class Interpreter:
    """Runs the kernels of one layer; ``tensors`` are those of its derivation."""

    def __init__(self, tensors: Mapping[str, Tensor], arithmetic: Arithmetic = FLOAT) -> None:
        self.tensors, self.arithmetic = tensors, arithmetic

    def scalar(self, node: Expr) -> Callable[[Environment, Values], Any]:
        """``node`` as a function of environment and values; accumulators and temporaries stand in the
        environment.
        """
        match node:
            case Number(text):
                value = self.arithmetic.number(text)
                return lambda env, values: value
            case FromInteger(value):
                at = integer(value)
                return lambda env, values: at(env)
            case Accumulator(number):
                return lambda env, values: env["accumulator", number]
            case Temporary(name):
                return lambda env, values: env["temporary", name]
            case Load():
                return self._load(node)
            case Select(test, yes, no):
                left, right, holds = self.scalar(test.left), self.scalar(test.right), COMPARE[test.op]
                first, second = self.scalar(yes), self.scalar(no)
                return lambda env, v: first(env, v) if holds(left(env, v), right(env, v)) else second(env, v)
            case Call(function, args):
                apply = OPERATOR.get(function) or self.arithmetic.functions[function]
                parts = [self.scalar(a) for a in args]
                return lambda env, values: apply(*[part(env, values) for part in parts])
        raise TypeError(node)

    def _load(self, node: Load) -> Callable[[Environment, Values], Any]:
        name, samples = node.tensor, self.tensors[node.tensor].samples
        index = [integer(e) for e in node.index]
        inside = [condition(c) for c in node.inside]
        zero = self.arithmetic.number("0.0")

        def load(env: Environment, values: Values) -> Any:
            if not all(holds(env) for holds in inside):
                return zero
            key = tuple(at(env) for at in index)
            return values[name][(*key, env["t"]) if samples else key]

        return load

    def _bound(
        self, temporaries: Sequence[tuple[str, Expr]], body: Expr
    ) -> Callable[[Environment, Values], Any]:
        steps = [(("temporary", name), self.scalar(value)) for name, value in temporaries]
        last = self.scalar(body)

        def value(env: Environment, values: Values) -> Any:
            for key, step in steps:
                env[key] = step(env, values)
            return last(env, values)

        return value

    def program(self, kernel: Kernel) -> Callable[[Environment, Values, int], None]:
        """``kernel`` as a function of sizes and relations, values (which receive the output) and the
        number of samples.
        """
        axes = [(axis.name, integer(axis.extent)) for axis in kernel.axes]
        nests = [self._nest(nest) for nest in kernel.nests]
        result = self._bound(kernel.temporaries, kernel.result)
        output, position = kernel.output.name, kernel.position.name if kernel.position else None

        def run(env: Environment, values: Values, samples: int) -> None:
            env = dict(env)
            values[output] = {}
            if position:
                values[position] = {}
            for point in _points(axes, env):
                if kernel.sums_samples:
                    sums = [nest(env, values, range(samples))[0] for nest in nests]
                    env.update({("accumulator", n): value for n, value in enumerate(sums)})
                    values[output][point] = result(env, values)
                    continue
                for t in range(samples):
                    for n, nest in enumerate(nests):
                        env["accumulator", n], where = nest(env, values, (t,))
                        if position and n == 0:
                            values[position][(*point, t)] = where
                    env["t"] = t
                    values[output][(*point, t)] = result(env, values)

        return run

    def _nest(self, nest: Nest) -> Callable[[Environment, Values, Sequence[int]], tuple[Any, int]]:
        """The sum over loops and samples, or the maximum and the position of its first maximiser."""
        visit = visitor(nest)
        body = self._bound(nest.temporaries, nest.body)
        number = integer(nest.position) if nest.position is not None else lambda env: -1
        zero, lowest = self.arithmetic.number("0.0"), self.arithmetic.lowest

        def run(env: Environment, values: Values, samples: Sequence[int]) -> tuple[Any, int]:
            total, best = (zero, -1) if nest.combine == "sum" else (lowest, -1)
            for _ in visit(env):
                for t in samples:
                    env["t"] = t
                    value = body(env, values)
                    if nest.combine == "sum":
                        total = total + value
                    elif value > total:
                        total, best = value, number(env)
            return total, best

        return run


def visitor(nest: Nest) -> Callable[[Environment], Iterator[None]]:
    """Binds loops and lets in the environment, point after point; checks that both descriptions of the
    points agree.
    """
    tight = _walker(nest, tight=True)
    full = _walker(nest, tight=False)

    def visit(env: Environment) -> Iterator[None]:
        expected = list(full(dict(env)))
        seen = []
        for point in tight(env):
            seen.append(point)
            yield
        if seen != expected:
            raise Mismatch(f"tight bounds visit {seen}, the conditions say {expected}")

    return visit


def _walker(nest: Nest, tight: bool) -> Callable[[Environment], Iterator[tuple[int, ...]]]:
    ranges = [_range(loop, tight) for loop in nest.loops]
    names = [loop.name for loop in nest.loops]
    lets = [(let.name, integer(let.value)) for let in nest.lets]
    tests = [condition(c) for c in (nest.guards if tight else nest.conditions)]

    def walk(env: Environment, depth: int = 0) -> Iterator[tuple[int, ...]]:
        if depth < len(ranges):
            for value in ranges[depth](env):
                env[names[depth]] = value
                yield from walk(env, depth + 1)
            return
        for name, value in lets:
            env[name] = value(env)
        if all(holds(env) for holds in tests):
            yield tuple(env[name] for name in names)

    return walk


def _range(loop: Loop | TableLoop, tight: bool) -> Callable[[Environment], Sequence[int]]:
    if isinstance(loop, TableLoop):
        relation, by, key = ("relation", loop.relation), loop.by, integer(loop.key)

        def rows(env: Environment) -> Sequence[int]:
            columns = env[relation]
            count = len(next(iter(columns.values())))
            return [r for r in range(count) if not by or columns[by][r] == key(env)]

        return rows
    if not tight:
        extent = integer(loop.extent)
        return lambda env: range(extent(env))
    lower, upper, step = integer(loop.lower), integer(loop.upper), integer(loop.step)
    return lambda env: range(lower(env), upper(env), step(env))


def _points(
    axes: Sequence[tuple[str, Callable[[Environment], int]]], env: Environment
) -> Iterator[tuple[int, ...]]:
    if not axes:
        yield ()
        return
    (name, extent), *rest = axes
    for value in range(extent(env)):
        env[name] = value
        for tail in _points(rest, env):
            yield (value, *tail)


def zeros(tensor: Tensor, env: Environment, samples: int, value: Any = 0.0) -> dict[tuple[int, ...], Any]:
    """A tensor filled with ``value``; a ragged one has the sizes of each of its first entries."""
    points: list[tuple[int, ...]] = [()]
    for extent in tensor.shape:
        size = integer(extent)
        points = [(*p, n) for p in points for n in range(size({**env, "_": p[0] if p else 0}))]
    if tensor.samples:
        points = [(*p, t) for p, t in itertools.product(points, range(samples))]
    return dict.fromkeys(points, value)
