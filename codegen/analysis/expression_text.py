"""Index expressions as the manifest's text, which the runtime evaluates with a whitelist."""

from __future__ import annotations

from ...derive.ir import Column, Condition, Integer, IntExpr, IntOp, IRError, Name, Size

_ATOM, _UNARY, _MUL, _ADD = 3, 2, 1, 0


def text(e: IntExpr, above: int = 0) -> str:
    """Python syntax: ``+ - * // %``, ``NAME[index]``, ``min max gcd inverse``."""
    written, precedence = _write(e)
    return f"({written})" if precedence < above else written


def _write(e: IntExpr) -> tuple[str, int]:
    match e:
        case Integer(value=value):
            return str(value), _ATOM if value >= 0 else _UNARY
        case Name(name=name) | Size(name=name, index=None):
            return name, _ATOM
        case Size(name=name, index=index) if index is not None:
            return f"{name}[{text(index)}]", _ATOM
        case Column(relation=relation, column=column, row=row):
            return f"{relation}_{column}[{text(row)}]", _ATOM
        case IntOp():
            return _operation(e)
    raise IRError(f"the manifest has no form for {e}")


def _operation(e: IntOp) -> tuple[str, int]:
    match e:
        case IntOp(op="add", args=args):
            result = text(args[0], _ADD)
            for argument in args[1:]:
                part = text(argument, _ADD)
                result += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
            return result, _ADD
        case IntOp(op="mul", args=(Integer(value=-1), *rest)):
            return "-" + "*".join(text(a, _MUL + 1) for a in rest), _MUL
        case IntOp(op="mul", args=args):
            return "*".join(text(a, _MUL) for a in args), _MUL
        case IntOp(op="floordiv", args=(a, b)):
            return f"{text(a, _MUL)}//{text(b, _UNARY)}", _MUL
        case IntOp(op="ceildiv", args=(a, b)):
            return f"-(-{text(a, _UNARY)}//{text(b, _UNARY)})", _UNARY
        case IntOp(op="mod", args=(a, b)):
            return f"{text(a, _MUL)} % {text(b, _UNARY)}", _MUL
        case IntOp(op="min" | "max" | "gcd" | "inverse" as op, args=args):
            return f"{op}({', '.join(text(a) for a in args)})", _ATOM
    raise IRError(f"the manifest has no form for {e}")


def condition_text(c: Condition) -> str:
    """``left op right``."""
    return f"{text(c.left)} {c.op} {text(c.right)}"
