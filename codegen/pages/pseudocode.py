"""A kernel of the IR as indented text: what both printers start from, for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...derive.ir import (
    Accumulator,
    Axis,
    Call,
    Compare,
    Expr,
    FromInteger,
    IRError,
    Kernel,
    Load,
    Loop,
    Nest,
    Number,
    Select,
    TableLoop,
    Temporary,
)
from ..analysis.expression_text import condition_text
from ..analysis.expression_text import text as integer_text

_ATOM, _UNARY, _MUL, _ADD = 3, 2, 1, 0


def pseudocode(kernel: Kernel) -> str:
    """Output axes, loops with their tight bounds, what the index solver found (``let``), guards, body and
    result.

    Tensors with samples are meant at the sample t, which is left out of their indices.  A kernel that sums
    the samples has its loop over t innermost.
    """
    lines = list(_axes(kernel))
    pad = "    " * len(lines)
    for number, nest in enumerate(kernel.nests):
        lines += [pad + line for line in _nest(number, nest, kernel.sums_samples)]
    lines += [f"{pad}{name} = {scalar(value)}" for name, value in kernel.temporaries]
    return "\n".join([*lines, pad + _store(kernel)]) + "\n"


def _axes(kernel: Kernel) -> Iterator[str]:
    over = [f"for {axis.name} in 0 .. {integer_text(axis.extent)}:" for axis in kernel.axes]
    over += [] if kernel.sums_samples else ["for t in samples:"]
    for depth, line in enumerate(over):
        yield "    " * depth + line


def _nest(number: int, nest: Nest, sums_samples: bool) -> Iterator[str]:
    yield f"acc{number} = {'0' if nest.combine == 'sum' else '-inf'}"
    depth = 0
    headers = [_loop(loop) for loop in nest.loops] + (["for t in samples:"] if sums_samples else [])
    for header in headers:
        yield "    " * depth + header
        depth += 1
    for let in nest.lets:
        yield "    " * depth + f"let {let.name} = {integer_text(let.value)}"
    if nest.guards:
        yield "    " * depth + f"if {' and '.join(condition_text(guard) for guard in nest.guards)}:"
        depth += 1
    for name, value in nest.temporaries:
        yield "    " * depth + f"{name} = {scalar(value)}"
    body = scalar(nest.body)
    if nest.combine == "sum":
        yield "    " * depth + f"acc{number} += {body}"
    else:
        position = "" if nest.position is None else f"   (first maximiser: {integer_text(nest.position)})"
        yield "    " * depth + f"acc{number} = max(acc{number}, {body}){position}"


def _loop(loop: Axis | Loop | TableLoop) -> str:
    match loop:
        case TableLoop(name=name, relation=relation, by=by, key=key):
            which = f" with {by} == {integer_text(key)}" if by else ""
            return f"for {name} in rows of {relation}{which}:"
        case Loop(name=name, lower=lower, upper=upper, step=step):
            stride = integer_text(step)
            return (
                f"for {name} in {integer_text(lower)} .. "
                f"{integer_text(upper)}{'' if stride == '1' else f' step {stride}'}:"
            )
    raise IRError(f"no loop: {loop}")


def _store(kernel: Kernel) -> str:
    target = _entry(kernel.output.name, [axis.name for axis in kernel.axes])
    if kernel.finish == "phi":
        return f"{target} = {scalar(kernel.result)}   (and phi of it)"
    if kernel.finish == "dphi":
        return f"{target} = phi'(below) * {scalar(kernel.result, _MUL)}"
    return f"{target} = {scalar(kernel.result)}"


def _entry(tensor: str, index: Sequence[str]) -> str:
    return f"{tensor}[{', '.join(index)}]" if index else tensor


def scalar(e: Expr, above: int = _ADD - 1) -> str:
    """A scalar expression, with as few parentheses as it needs."""
    written, precedence = _write(e)
    return f"({written})" if precedence < above else written


def _write(e: Expr) -> tuple[str, int]:
    match e:
        case Number(text=value):
            return value, _UNARY if value.startswith("-") else _ATOM
        case FromInteger(value=integer):
            return f"real({integer_text(integer)})", _ATOM
        case Accumulator(nest=nest):
            return f"acc{nest}", _ATOM
        case Temporary(name=name):
            return name, _ATOM
        case Load(tensor=tensor, index=index, inside=inside):
            where = f" if {' and '.join(condition_text(c) for c in inside)} else 0" if inside else ""
            read = _entry(tensor, [integer_text(i) for i in index])
            return read + where, _ADD if where else _ATOM
        case Select(test=test, yes=yes, no=no):
            return f"{scalar(yes, _ADD)} if {_comparison(test)} else {scalar(no, _ADD)}", _ADD - 1
        case Call(function=function, args=args):
            return _call(function, args)
    raise IRError(f"no scalar expression: {e}")


def _call(function: str, args: tuple[Expr, ...]) -> tuple[str, int]:
    if function == "add":
        parts = [scalar(a, _ADD) for a in args]
        return parts[0] + "".join(f" - {p[1:]}" if p.startswith("-") else f" + {p}" for p in parts[1:]), _ADD
    if function == "mul":
        return " * ".join(scalar(a, _MUL) for a in args), _MUL
    if function == "div":
        return f"{scalar(args[0], _MUL)} / {scalar(args[1], _UNARY)}", _MUL
    if function == "neg":
        return f"-{scalar(args[0], _MUL)}", _MUL
    if function == "pow":
        return f"{scalar(args[0], _ATOM)} ** {scalar(args[1], _ATOM)}", _UNARY
    return f"{function}({', '.join(scalar(a) for a in args)})", _ATOM


def _comparison(test: Compare) -> str:
    return f"{scalar(test.left, _ADD)} {test.op} {scalar(test.right, _ADD)}"
