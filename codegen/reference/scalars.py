"""Scalar expressions of the IR as NumPy text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...derive.ir import FUNCTIONS, Accumulator, Call, Expr, FromInteger, Load, Number, Select, Temporary
from .axes import SAMPLE, PrintError, scalars
from .scope import Scope
from .values import ADD, ATOM, COMPARE, MULTIPLY, NEGATE, POWER, Value, aligned, ordered

_FUNCTIONS = {
    "exp": "np.exp",
    "log": "np.log",
    "expm1": "np.expm1",
    "log1p": "np.log1p",
    "sqrt": "np.sqrt",
    "sin": "np.sin",
    "cos": "np.cos",
    "tan": "np.tan",
    "asin": "np.arcsin",
    "acos": "np.arccos",
    "atan": "np.arctan",
    "sinh": "np.sinh",
    "cosh": "np.cosh",
    "tanh": "np.tanh",
    "erf": "erf",
    "erfc": "erfc",
    "fabs": "np.abs",
    "sigmoid": "expit",
    "sigmoid_slope": "sigmoid_slope",
    "square_rest": "square_rest",
    "product_rest": "product_rest",
    "xlogy": "xlogy",
    "xlog1py": "xlog1py",
    "fmax": "np.fmax",
    "fmin": "np.fmin",
}
_LITERAL = (
    "exp",
    "log",
    "expm1",
    "log1p",
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
_OF_NUMBERS = {_FUNCTIONS[name]: f"math.{name}" for name in _LITERAL}


class Scalars:
    """Prints the scalar expressions of one scope; ``dtype`` is the text of the dtype that arrays of
    literals take.
    """

    def __init__(
        self,
        scope: Scope,
        dtype: str,
        accumulators: Mapping[int, Value] | None = None,
        temporaries: Mapping[str, Value] | None = None,
    ) -> None:
        self.scope, self.dtype = scope, dtype
        self.accumulators = dict(accumulators or {})
        self.temporaries = dict(temporaries or {})
        self.guarded = False  # a Select evaluates both branches: the one not taken may overflow

    def __call__(self, e: Expr) -> Value:
        """``e`` as a value; raises PrintError for what NumPy text cannot hold."""
        if isinstance(e, Load):
            return self.scope.load(e)
        target = self.axes(e)
        value = self._print(e, target)
        return (
            value if value.literal or isinstance(e, Accumulator | Temporary) else replace(value, axes=target)
        )

    def axes(self, *expressions: Expr) -> tuple[str, ...]:
        """The joint array axes of ``expressions``, t included, in mesh order."""
        found: set[str] = set()
        for e in expressions:
            for node in scalars(e):
                match node:
                    case FromInteger(value=value):
                        found.update(self.scope.axes(value))
                    case Load(tensor=tensor, index=index, inside=inside):
                        found.update(self.scope.axes(*index, *inside))
                        found.update(
                            (SAMPLE,)
                            if tensor in self.scope.tensors and self.scope.tensors[tensor].samples
                            else ()
                        )
                    case Accumulator(nest=nest) if nest in self.accumulators:
                        found.update(self.accumulators[nest].axes)
                    case Temporary(name=name) if name in self.temporaries:
                        found.update(self.temporaries[name].axes)
        return ordered(found, self.scope.order)

    def _print(self, e: Expr, target: tuple[str, ...]) -> Value:
        """``e`` aligned to ``target``."""
        match e:
            case Number(text=text):
                return self._number(text)
            case FromInteger():
                return aligned(self._from_integer(e), target)
            case Load():
                return aligned(self.scope.load(e), target)
            case Accumulator(nest=nest) if nest in self.accumulators:
                return aligned(self.accumulators[nest], target)
            case Temporary(name=name) if name in self.temporaries:
                return aligned(self.temporaries[name], target)
            case Select():
                return self._select(e, target)
            case Call():
                return self._call(e, target)
        raise PrintError(f"{self.scope.where}: cannot print {e!r}")

    def _number(self, text: str) -> Value:
        try:
            float(text)
        except ValueError:
            raise PrintError(f"{self.scope.where}: {text!r} is no decimal number") from None
        if text.lstrip("+-").lower().startswith(("inf", "nan")):
            return Value(f'float("{text}")', literal=True)
        return Value(text, rank=NEGATE if text.startswith("-") else ATOM, literal=True)

    def _from_integer(self, e: FromInteger) -> Value:
        axes = self.scope.axes(e.value)
        if axes:
            return Value(f"{self.scope.integer(e.value, rank=ATOM)}.astype({self.dtype})", axes)
        if self.scope.plain(e.value):
            return Value(self.scope.integer(e.value, rank=ATOM), literal=True)
        return Value(f"float({self.scope.integer(e.value)})", literal=True)

    def _select(self, e: Select, target: tuple[str, ...]) -> Value:
        self.guarded |= any(_risky(node) for branch in (e.yes, e.no) for node in scalars(branch))
        left, right, yes, no = (
            self._print(part, target) for part in (e.test.left, e.test.right, e.yes, e.no)
        )
        test = f"{left.within(COMPARE + 1)} {e.test.op} {right.within(COMPARE + 1)}"
        text = f"np.where({test}, {yes.text}, {no.text})"
        return Value(f"{text}.astype({self.dtype})" if yes.literal and no.literal else text)

    def _call(self, e: Call, target: tuple[str, ...]) -> Value:
        operands = [self._print(a, target) for a in e.args]
        literal = all(p.literal for p in operands)
        match e.function, operands:
            case "add", [_, *_]:
                return replace(_total(operands), literal=literal)
            case "mul", [_, *_]:
                return Value(" * ".join(p.within(MULTIPLY) for p in operands), rank=MULTIPLY, literal=literal)
            case "neg", [part]:
                return replace(_negative(part), literal=literal)
            case "div", [above, below]:
                return Value(
                    f"{above.within(MULTIPLY)} / {below.within(NEGATE)}", rank=MULTIPLY, literal=literal
                )
            case "pow", [base, exponent]:
                return Value(f"{base.within(ATOM)} ** {exponent.within(NEGATE)}", rank=POWER, literal=literal)
        return self._named(e, operands, literal)

    def _named(self, e: Call, operands: list[Value], literal: bool) -> Value:
        """A function that NumPy or SciPy has."""
        match e.function, operands:
            case "rsqrt", [part]:
                return Value(f"1 / {_call_text('np.sqrt', [part], literal)}", rank=MULTIPLY, literal=literal)
            case "softplus", [part]:
                return Value(_call_text("np.logaddexp", [Value("0"), part], literal), literal=literal)
            case ("xlogy" | "xlog1py") as name, [_, _] if (
                not literal
            ):  # SciPy takes a Python number for a float64
                typed = [Value(f"{self.dtype}.type({p.text})") if p.literal else p for p in operands]
                return Value(_call_text(name, typed, literal))
            case name, _ if name in _FUNCTIONS and len(operands) == FUNCTIONS[name]:
                return Value(_call_text(_FUNCTIONS[name], operands, literal), literal=literal)
        raise PrintError(f"{self.scope.where}: cannot print {e.function} of {len(e.args)} arguments")


def _risky(node: object) -> bool:
    """True for what may overflow or be undefined where the other branch is taken."""
    match node:
        case Call(function="add" | "mul" | "neg"):
            return False
        case Call(function="div", args=(_, Number())):
            return False
        case Call() | Temporary():
            return True
    return False


def _total(operands: Sequence[Value]) -> Value:
    """A sum; of two terms one without a sign comes first."""
    first, *rest = operands
    if len(rest) == 1 and first.text.startswith("-") and not rest[0].text.startswith("-"):
        first, rest = rest[0], [first]
    return Value(first.within(ADD) + "".join(_added(part) for part in rest), rank=ADD)


def _negative(part: Value) -> Value:
    if part.rank == MULTIPLY:  # -a * b is (-a) * b, the same number
        return Value(f"-{part.text}", rank=MULTIPLY)
    return Value(f"-{part.within(NEGATE)}", rank=NEGATE)


def _added(part: Value) -> str:
    if part.text.startswith("-") and part.rank in (MULTIPLY, NEGATE):
        return f" - {part.text[1:]}"
    return f" + {part.within(ADD)}"


def _call_text(function: str, operands: list[Value], literal: bool) -> str:
    arguments = ", ".join(p.text for p in operands)
    if not literal:
        return f"{function}({arguments})"
    return (
        f"{_OF_NUMBERS[function]}({arguments})"
        if function in _OF_NUMBERS
        else f"float({function}({arguments}))"
    )
