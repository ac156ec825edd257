"""OpenCL C text of IR expressions.

Scalars of a parameter are ``REAL``, values with lanes are ``realv`` (V lanes, of one sample or one point
each).  Literals are
written without a suffix: programs for float32 are built with -cl-single-precision-constant.
"""

from __future__ import annotations

from collections.abc import Callable

from ....derive.ir import (
    FUNCTIONS,
    Accumulator,
    Call,
    Column,
    Compare,
    Condition,
    Expr,
    FromInteger,
    Integer,
    IntExpr,
    IntOp,
    IRError,
    Load,
    Name,
    Number,
    Select,
    Size,
    Temporary,
)

#: What a function of vectors is called in the prelude, where not by its own name.
_OF_VECTORS = {"tanh": "tanh_lanes"}
#: Functions that OpenCL has for numbers and vectors alike; all others stand in the prelude, for vectors.
_BUILT_IN = frozenset(
    ("exp", "log", "sqrt", "rsqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
     "erf", "erfc", "fabs", "fmax", "fmin", "expm1", "log1p")
)  # fmt: skip
_ATOM, _UNARY, _MUL, _ADD, _COMPARE, _TERNARY = 5, 4, 3, 2, 1, 0


def integer(e: IntExpr, above: int = 0) -> str:
    """An index expression; sizes are macros, tables and relations function-like macros."""
    text, precedence = _integer(e)
    return f"({text})" if precedence < above else text


def _integer(e: IntExpr) -> tuple[str, int]:
    match e:
        case Integer(value=value):
            return str(value), _ATOM if value >= 0 else _UNARY
        case Name(name=name):
            return name, _ATOM
        case Size(name=name, index=None):
            return name, _ATOM
        case Size(name=name, index=index) if index is not None:
            return f"{name}({integer(index)})", _ATOM
        case Column(relation=relation, column=column, row=row):
            return f"{relation}_{column}({integer(row)})", _ATOM
        case IntOp():
            return _operation(e)
    raise IRError(f"OpenCL has no form for the integer expression {e}")


def _operation(e: IntOp) -> tuple[str, int]:
    match e:
        case IntOp(op="add", args=args):
            return _sum([integer(a, _ADD) for a in args]), _ADD
        case IntOp(op="mul", args=(Integer(value=-1), *rest)):
            return "-" + " * ".join(integer(a, _MUL + 1) for a in rest), _MUL
        case IntOp(op="mul", args=args):
            return " * ".join(integer(a, _MUL) for a in args), _MUL
        case IntOp(op="min" | "max" as op, args=args):
            text = integer(args[0])
            for argument in args[1:]:
                text = f"{'imin' if op == 'min' else 'imax'}({text}, {integer(argument)})"
            return text, _ATOM
        case IntOp(op="mod", args=(a, b)):
            return f"modulo({integer(a)}, {integer(b)})", _ATOM
        case IntOp(op="floordiv" | "ceildiv" as op, args=(a, b)):
            return f"{op}({integer(a)}, {integer(b)})", _ATOM
    raise IRError(f"OpenCL has no form for the integer expression {e}")


def _sum(terms: list[str]) -> str:
    text = terms[0]
    for part in terms[1:]:
        text += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
    return text


def condition(c: Condition) -> str:
    """Scalar control flow."""
    return f"{integer(c.left, _ADD)} {c.op} {integer(c.right, _ADD)}"


class ScalarPrinter:
    """Prints scalar expressions.

    ``has_lanes``: whether a load is a vector; ``variable`` names the one that holds it;
    ``vector_temporaries``: those with lanes.
    """

    def __init__(
        self,
        has_lanes: Callable[[Load], bool],
        variable: Callable[[Load], str],
        vector_temporaries: frozenset[str],
        accumulator: Callable[[int], str],
    ) -> None:
        self.has_lanes, self.variable, self.accumulator = has_lanes, variable, accumulator
        self.vector_temporaries = vector_temporaries

    def is_vector(self, e: Expr | Compare) -> bool:
        """True where ``e`` has one value per lane."""
        match e:
            case Load():
                return self.has_lanes(e)
            case Accumulator():
                return True
            case Temporary(name=name):
                return name in self.vector_temporaries
            case Call(args=args):
                return any(self.is_vector(a) for a in args)
            case Compare(left=left, right=right):
                return self.is_vector(left) or self.is_vector(right)
            case Select(test=test, yes=yes, no=no):
                return self.is_vector(test) or self.is_vector(yes) or self.is_vector(no)
        return False

    def __call__(self, e: Expr, above: int = 0) -> str:
        text, precedence = self._print(e)
        return f"({text})" if precedence < above else text

    def _print(self, e: Expr) -> tuple[str, int]:
        match e:
            case Number(text=text):
                return text, _UNARY if text.startswith("-") else _ATOM
            case FromInteger(value=value):
                return f"(REAL)({integer(value)})", _UNARY
            case Load():
                return self.variable(e), _ATOM
            case Accumulator(nest=nest):
                return self.accumulator(nest), _ATOM
            case Temporary(name=name):
                return name, _ATOM
            case Select():
                return self._select(e), _TERNARY
            case Call():
                return self._call(e)
        raise IRError(f"OpenCL has no form for {e}")

    def _call(self, e: Call) -> tuple[str, int]:
        match e:
            case Call(function="add", args=args):
                return _sum([self(a, _ADD) for a in args]), _ADD
            case Call(function="mul", args=args):
                return " * ".join(self(a, _MUL) for a in args), _MUL
            case Call(function="neg", args=(a,)):
                return f"-{self(a, _MUL)}", _MUL
            case Call(function="div", args=(a, b)):
                return f"{self(a, _MUL)} / {self(b, _MUL + 1)}", _MUL
            case Call(function="pow", args=(base, exponent)):
                return self._power(base, exponent)
            case Call(function=function, args=args) if function in FUNCTIONS:
                return self._named(function, args), _ATOM
        raise IRError(f"OpenCL has no form for {e}")

    def _named(self, function: str, args: tuple[Expr, ...]) -> str:
        """A function of OpenCL or of the prelude, which has its own for vectors alone."""
        vector = any(self.is_vector(a) for a in args)
        if not vector and function not in _BUILT_IN:
            return f"FIRST({function}({', '.join(f'(realv)({self(a)})' for a in args)}))"
        parts = [self(a) if self.is_vector(a) or not vector else f"(realv)({self(a)})" for a in args]
        return f"{_OF_VECTORS.get(function, function) if vector else function}({', '.join(parts)})"

    def _power(self, base: Expr, exponent: Expr) -> tuple[str, int]:
        if isinstance(exponent, Number) and float(exponent.text) in (2.0, 3.0, 4.0):
            return " * ".join([self(base, _ATOM)] * int(float(exponent.text))), _MUL
        kind = "realv" if self.is_vector(base) or self.is_vector(exponent) else "REAL"
        return f"pow(({kind})({self(base)}), ({kind})({self(exponent)}))", _ATOM

    def _select(self, e: Select) -> str:
        vector = self.is_vector(e)

        def branch(part: Expr) -> str:
            return self(part, _COMPARE) if self.is_vector(part) or not vector else f"(realv)({self(part)})"

        test = e.test
        left, right = self(test.left, _ADD), self(test.right, _ADD)
        if self.is_vector(test) and not self.is_vector(test.left):
            left = f"(realv)({left})"
        if self.is_vector(test) and not self.is_vector(test.right):
            right = f"(realv)({right})"
        return f"({left} {test.op} {right}) ? {branch(e.yes)} : {branch(e.no)}"
