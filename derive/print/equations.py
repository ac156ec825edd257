"""Every derived equation as LaTeX and as plain text, next to the definition that it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.latex import LatexPrinter

from ..adjoint.fundamental import Adjoint, Contribution, delta_name
from ..adjoint.nests import Term
from ..adjoint.solver import Relational, Solution
from ..language.declarations import Access, Stage, TensorInfo
from ..language.stages import Definition
from ..symbols.indices import AxisVariable
from ..symbols.integers import CeilDiv, FloorDiv, Gcd, Inverse, Largest, Modulo, Smallest


@dataclass(frozen=True)
class Sum:
    """A solved term ready for printing: its reduction, body and conditions."""

    combine: str
    solution: Solution
    located: Mapping[sp.Symbol, Access]
    body: sp.Expr


class _Latex(LatexPrinter):
    """Index functions and size tables in the paper's notation."""

    def _print_FloorDiv(self, e: sp.Expr) -> str:
        return rf"\left\lfloor \frac{{{self._print(e.args[0])}}}{{{self._print(e.args[1])}}} \right\rfloor"

    def _print_CeilDiv(self, e: sp.Expr) -> str:
        return rf"\left\lceil \frac{{{self._print(e.args[0])}}}{{{self._print(e.args[1])}}} \right\rceil"

    def _print_Modulo(self, e: sp.Expr) -> str:
        return rf"\left({self._print(e.args[0])}\right) \bmod {self._print(e.args[1])}"

    def _print_Gcd(self, e: sp.Expr) -> str:
        return rf"\gcd({', '.join(self._print(a) for a in e.args)})"

    def _print_Inverse(self, e: sp.Expr) -> str:
        return rf"\left({self._print(e.args[0])}\right)^{{-1}}_{{\bmod {self._print(e.args[1])}}}"

    def _print_Largest(self, e: sp.Expr) -> str:
        return rf"\max\left({', '.join(self._print(a) for a in e.args)}\right)"

    def _print_Smallest(self, e: sp.Expr) -> str:
        return rf"\min\left({', '.join(self._print(a) for a in e.args)}\right)"

    def _print_Function(self, e: sp.Expr, exp: object = None) -> str:
        if isinstance(e, AppliedUndef):
            name = e.func.__name__
            inner = self._print(e.args[0])
            if "_" in name:
                return rf"{name.split('_')[1]}({inner})"
            return rf"{self._print(sp.Symbol(name))}({inner})"
        return str(super()._print_Function(e, exp))


_INTEGER_TEXT = {FloorDiv: "floor", CeilDiv: "ceil", Modulo: "mod", Gcd: "gcd", Inverse: "inverse", Largest: "max", Smallest: "min"}


class EquationPrinter:
    """Prints the equations of one definition."""

    def __init__(self, definition: Definition, adjoint: Adjoint) -> None:
        self.definition, self.derived = definition, adjoint

    # ------------------------------------------------------------------------------------------------ tensors
    def tensor(self, name: str, index: Sequence[sp.Expr]) -> str:
        """A tensor at an index: the map as a subscript, the coordinates outside brackets, as in equation 1."""
        symbol, level = self._symbol(name)
        parts = [self.latex(e) for e in index]
        base = f"{{{symbol}}}" if "_" in symbol else symbol  # LaTeX refuses a second subscript
        plain = f"{base}{'' if not level else f'^{{{level}}}'}"
        if not parts:
            return plain
        info = self.derived.builder.extents.get(name) or self.definition.tensors.get(name.removeprefix("delta_"))
        kinds = [a.kind for a in info.axes] if info is not None else []
        outside = [p for p, k in zip(parts, kinds, strict=False) if k in ("coordinate", "window")]
        below = [p for p, k in zip(parts, kinds, strict=False) if k not in ("coordinate", "window")]
        inner = f"{plain}_{{{','.join(below)}}}" if below else plain
        return rf"\left[{inner}\right]_{{{','.join(outside)}}}" if outside else inner

    def _symbol(self, name: str) -> tuple[str, str]:
        if name.startswith("delta_"):
            target = name.removeprefix("delta_")
            if target == "Z":
                return r"\delta", "(l)"
            if target == self.definition.input.name:
                return r"\delta", "(l-1)"
            return r"\delta", self.latex(sp.Symbol(target))
        if name.startswith("position_"):
            return "u", r"\ast"
        if name == self.definition.input.name:
            return self.latex(sp.Symbol(name)), "(l-1)"
        return (self.latex(sp.Symbol(name)), "(l)") if name == "Z" else (self.latex(sp.Symbol(name)), "")

    def latex(self, e: sp.Expr, names: Mapping[sp.Symbol, str] | None = None) -> str:
        """LaTeX of an expression; ``names`` gives the text of accesses and reductions."""
        rows = {sp.Symbol(f"{r.lower()}_row", integer=True, nonnegative=True): "c" for r in self.definition.relations}
        printer = _Latex({"symbol_names": {**rows, **(names or {})}})
        return str(printer.doprint(e))

    # --------------------------------------------------------------------------------------------------- sums
    def _solved(self, term: Term) -> Sum:
        solution, located, body = self.derived.builder.solve(term)
        return Sum(term.combine, solution, located, body)

    def _loops(self, s: Sum) -> str:
        sign = r"\max" if s.combine == "max" else r"\sum"
        parts = []
        for loop in s.solution.loops:
            name = self.latex(loop.unknown.symbol)
            if loop.unknown.kind == "row":
                column = loop.by.split("_")[-1] if loop.by else ""
                key = f" : {column}(c) = {self.latex(loop.key)}" if column else ""
                parts.append(rf"{sign}_{{c \in {loop.unknown.relation}{key}}}")
            else:
                assert loop.unknown.extent is not None
                if s.combine == "max":
                    parts.append(rf"\max_{{0 \le {name} < {self.latex(loop.unknown.extent)}}}")
                else:
                    parts.append(rf"\sum_{{{name}=0}}^{{{self.latex(loop.unknown.extent - 1)}}}")
        return " ".join(parts)

    def _conditions(self, s: Sum) -> str:
        if not s.solution.conditions:
            return ""
        parts = self._ranges(list(s.solution.conditions))
        return rf"\, \mathbb{{1}}\left\{{{', '.join(parts)}\right\}}"

    def _ranges(self, conditions: list[Relational]) -> list[str]:
        """The conditions as text; a lower and an upper bound of one expression become 0 <= expression < extent."""
        parts: list[str] = []
        while conditions:
            first = conditions.pop(0)
            upper = next((c for c in conditions if self._bounds_together(first, c)), None)
            if upper is None:
                parts.append(self.condition(first))
            else:
                conditions.remove(upper)
                extent = sp.expand(first.left + upper.left + 1)
                parts.append(rf"0 \le {self.latex(first.left)} < {self.latex(extent)}")
        return parts

    @staticmethod
    def _bounds_together(low: Relational, high: Relational) -> bool:
        if not (low.op == high.op == ">=" and low.right == high.right == 0):
            return False
        extent = sp.expand(low.left + high.left + 1)
        return bool(extent.is_Symbol or isinstance(extent, AppliedUndef))

    def condition(self, c: Relational) -> str:
        """An index condition: a | b for a vanishing remainder, and no negative terms."""
        if isinstance(c.left, Modulo) and c.op == "==" and c.right == 0:
            return rf"{self.latex(c.left.args[1])} \mid {self.latex(c.left.args[0])}"
        signs = {">=": r"\ge", "<=": r"\le", "==": "=", "!=": r"\ne", "<": "<", ">": ">"}
        if c.op == ">=" and c.right == 0 and c.left.is_Add:
            negative = [a for a in c.left.args if a.could_extract_minus_sign()]
            positive = [a for a in c.left.args if a not in negative]
            if positive and sp.Integer(-1) in negative:
                rest = sp.Add(*(-a for a in negative if a != -1))
                return rf"{self.latex(rest)} < {self.latex(sp.Add(*positive))}"
            if positive:
                return rf"{self.latex(sp.Add(*(-a for a in negative)))} \le {self.latex(sp.Add(*positive))}"
        return f"{self.latex(c.left)} {signs[c.op]} {self.latex(c.right)}"

    def _body(self, s: Sum) -> str:
        names = {symbol: self.tensor(a.tensor, a.index) for symbol, a in s.located.items()}
        text = self.latex(s.body, names)
        return rf"\left({text}\right)" if s.body.is_Add and s.solution.loops else text

    def _where(self, sums: Sequence[Sum]) -> str:
        parts = []
        for s in sums:
            exact = {c.left.args[0] for c in s.solution.conditions if isinstance(c.left, Modulo)}
            for symbol, value in s.solution.quotients:
                if isinstance(value, FloorDiv) and value.args[0] in exact:
                    right = rf"\frac{{{self.latex(value.args[0])}}}{{{self.latex(value.args[1])}}}"
                else:
                    right = self.latex(value)
                parts.append(f"{self.latex(symbol)} = {right}")
        unique = list(dict.fromkeys(parts))
        return rf", \qquad {', '.join(unique)}" if unique else ""

    # -------------------------------------------------------------------------------------------------- equations
    def forward(self, stage: Stage) -> tuple[str, str]:
        """``stage = expression`` with its reductions written as sums; the last stage is equation 1's combinator."""
        names: dict[sp.Symbol, str] = {}
        sums = []
        for symbol, reduction in stage.reductions:
            term = self.derived.forward_term(stage, reduction)
            s = self._solved(term)
            sums.append(s)
            names[symbol] = f"{self._loops(s)} {self._body(s)}{self._conditions(s)}"
        for symbol in stage.expression.free_symbols:
            access = self.definition.accesses.get(symbol)
            if access is not None:
                names[symbol] = self.tensor(access.tensor, access.index)
        left = self.tensor(stage.name, [a.symbol for a in stage.axes])
        text = f"{self._left(stage.name, stage.axes)} = {stage.expression}"
        return f"{left} = {self.latex(stage.expression, names)}{self._where(sums)}", text

    def adjoint_latex(self, info: TensorInfo, contributions: Sequence[Contribution], role: str) -> str:
        """Equation 7 (delta) or 8 (gradient)."""
        sums = [self._solved(c.term) for c in contributions]
        terms = [f"{self._loops(s)} {self._body(s)}{self._conditions(s)}".strip() for s in sums]
        total = " + ".join(terms) if terms else "0"
        index = [a.symbol for a in info.axes]
        if role == "delta":
            left = self.tensor(delta_name(info.name), index)
            if info.kind == "input":
                phi = rf"\phi'^{{(l-1)}}\left({self.tensor('Z', index).replace('(l)', '(l-1)')}\right) "
                inner = rf"\left({total}\right)" if len(terms) > 1 else total
                return f"{left} = {phi}{inner}{self._where(sums)}"
            return f"{left} = {total}{self._where(sums)}"
        left = rf"\frac{{\partial r}}{{\partial {self.tensor(info.name, index)}}}"
        return f"{left} = {total}{self._where(sums)}"

    def adjoint(self, info: TensorInfo, contributions: Sequence[Contribution], role: str) -> tuple[str, str]:
        """LaTeX and plain text of a delta or a gradient."""
        sums = [self._solved(c.term) for c in contributions]
        prefix = {"delta": "delta_", "gradient": "gradient_", "sample_gradient": "samplegradient_"}[role]
        left = self._left(f"{prefix}{info.name}", info.axes)
        parts = [self._text(s, with_samples=role == "gradient") for s in sums] or ["0"]
        phi = "phi'(below) * " if role == "delta" and info.kind == "input" else ""
        right = "\n    + ".join(parts)
        if phi and len(parts) > 1:
            right = f"({right})"
        return self.adjoint_latex(info, contributions, role), f"{left} = {phi}{right}"

    @staticmethod
    def _left(name: str, axes: Sequence[AxisVariable]) -> str:
        return f"{name}[{', '.join(a.symbol.name for a in axes)}]"

    def _text(self, s: Sum, with_samples: bool = False) -> str:
        names = {symbol: sp.Symbol(f"{a.tensor}[{', '.join(self.plain(e) for e in a.index)}]") for symbol, a in s.located.items()}
        body = str(s.body.subs(names, simultaneous=True))
        loops = [f"{loop.unknown.symbol} in {loop.unknown.relation} with {loop.by.split('_')[-1]} = {self.plain(loop.key)}"
                 if loop.unknown.kind == "row" and loop.by else str(loop.unknown.symbol) for loop in s.solution.loops]  # fmt: skip
        loops += ["t"] if with_samples else []
        text = f"sum over {', '.join(loops)} of {body}" if loops else body
        if s.solution.quotients:
            text += " where " + ", ".join(f"{n} = {self.plain(v)}" for n, v in s.solution.quotients)
        if s.solution.conditions:
            text += " if " + " and ".join(f"{self.plain(c.left)} {c.op} {self.plain(c.right)}" for c in s.solution.conditions)
        return text

    def plain(self, e: sp.Expr) -> str:
        """Plain text of an index expression."""
        text = str(e)
        for kind, name in _INTEGER_TEXT.items():
            text = text.replace(f"{kind.__name__}(", f"{name}(")
        return text
