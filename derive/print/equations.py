"""Every derived equation as LaTeX and as plain text, next to the definition that it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.core.function import AppliedUndef

from ..adjoint.fundamental import Adjoint, Contribution, delta_name
from ..adjoint.nests import Term
from ..adjoint.solver import Solution, SolvedLoop
from ..language.declarations import Access, Stage, TensorInfo
from ..language.stages import Definition
from ..symbols.function_latex import FunctionLatex
from ..symbols.indices import AxisVariable, RowVariable
from ..symbols.integers import FloorDiv, Modulo
from ..symbols.names import shown, shown_latex
from .text import ROW, comparisons, conditions_text, plain, positive_first


@dataclass(frozen=True)
class Sum:
    """A solved term ready for printing: its reduction, body and conditions."""

    combine: str
    solution: Solution
    located: Mapping[sp.Symbol, Access]
    body: sp.Expr


class _Latex(FunctionLatex):
    """Index functions and size tables in the paper's notation, names as the user wrote them.

    ``columns``: of relations, by the names of their functions.
    """

    def __init__(self, settings: dict[str, object], columns: Mapping[str, str]) -> None:
        super().__init__(settings)
        self.columns = columns

    def _print_Symbol(self, e: sp.Symbol, style: str = "plain") -> str:
        plain = e in self._settings["symbol_names"] or shown(e.name) == e.name
        return str(super()._print_Symbol(e, style)) if plain else shown_latex(e.name)

    def _as_ordered_terms(self, expr: sp.Expr, order: str | None = None) -> list[sp.Expr]:
        return positive_first(super()._as_ordered_terms(expr, order=order))

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
            if name in self.columns:
                return rf"{shown(self.columns[name])}({inner})"
            return rf"{self._print(sp.Symbol(name))}({inner})"
        return str(super()._print_Function(e, exp))


_SIGNS = {">=": r"\ge", "<=": r"\le", "==": "=", "!=": r"\ne", "<": "<", ">": ">", "|": r"\mid"}


class EquationPrinter:
    """Prints the equations of one definition."""

    def __init__(self, definition: Definition, adjoint: Adjoint) -> None:
        self.definition, self.derived = definition, adjoint
        self.columns = {
            f"{r.name}_{column}": column for r in definition.relations.values() for column, _ in r.columns
        }

    # ------------------------------------------------------------------------------------------------ tensors
    def tensor(self, name: str, index: Sequence[sp.Expr]) -> str:
        """A tensor at an index: the map as a subscript, the coordinates outside brackets, as in
        equation 1.
        """
        symbol, level = self._symbol(name)
        parts = [self.latex(e) for e in index]
        base = f"{{{symbol}}}" if "_" in symbol else symbol  # LaTeX refuses a second subscript
        plain = f"{base}{'' if not level else f'^{{{level}}}'}"
        if not parts:
            return plain
        info = self.derived.builder.extents.get(name) or self.definition.tensors.get(
            name.removeprefix("delta_")
        )
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
        rows = {symbol: "c" for symbol, v in self.definition.variables.items() if isinstance(v, RowVariable)}
        printer = _Latex({"symbol_names": {**rows, **(names or {})}}, self.columns)
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
                column = shown(self.columns[loop.by]) if loop.by else ""
                key = f" : {column}(c) = {self.latex(loop.key)}" if column else ""
                parts.append(rf"{sign}_{{c \in {shown(loop.unknown.relation)}{key}}}")
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
        parts = []
        for terms, operators in comparisons(s.solution.conditions):
            pairs = zip(operators, terms[1:], strict=True)
            parts.append(
                self.latex(terms[0])
                + "".join(f" {_SIGNS[operator]} {self.latex(term)}" for operator, term in pairs)
            )
        return rf"\, \mathbb{{1}}\left\{{{', '.join(parts)}\right\}}"

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

    # ---------------------------------------------------------------------------------------------- equations
    def forward(self, stage: Stage) -> tuple[str, str]:
        """LaTeX and plain text of ``stage = expression`` with its reductions written as sums."""
        names: dict[sp.Symbol, str] = {}
        texts: dict[sp.Symbol, sp.Symbol] = {}
        sums = []
        for symbol, reduction in stage.reductions:
            s = self._solved(self.derived.forward_term(stage, reduction))
            sums.append(s)
            names[symbol] = f"{self._loops(s)} {self._body(s)}{self._conditions(s)}"
            texts[symbol] = sp.Symbol(f"({self._text(s)})")
        for symbol in stage.expression.free_symbols:
            access = self.definition.accesses.get(symbol)
            if access is not None:
                names[symbol] = self.tensor(access.tensor, access.index)
                texts[symbol] = _entry(access)
        left = self.tensor(stage.name, [a.symbol for a in stage.axes])
        text = f"{_left(stage.name, stage.axes)} = {plain(stage.expression.subs(texts, simultaneous=True))}"
        return f"{left} = {self.latex(stage.expression, names)}{self._where(sums)}", shown(text)

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
        by = rf"{{\partial {self.tensor(info.name, index)}}}"
        if role == "gradient":  # equation 2: the error is a sum over the samples t
            inner = rf"\left({total}\right)" if len(terms) > 1 else total
            return rf"\frac{{\partial}}{by} \sum_{{t}} r = \sum_{{t}} {inner}{self._where(sums)}"
        return rf"\frac{{\partial r}}{by} = {total}{self._where(sums)}"

    def adjoint(self, info: TensorInfo, contributions: Sequence[Contribution], role: str) -> tuple[str, str]:
        """LaTeX and plain text of a delta or a gradient."""
        sums = [self._solved(c.term) for c in contributions]
        prefix = {"delta": "delta_", "gradient": "gradient_", "sample_gradient": "samplegradient_"}[role]
        left = _left(f"{prefix}{info.name}", info.axes)
        parts = [self._text(s, with_samples=role == "gradient") for s in sums] or ["0"]
        phi = "phi'(below) * " if role == "delta" and info.kind == "input" else ""
        if len(parts) > 1:
            parts = [f"({part})" if " if " in part or " where " in part else part for part in parts]
        right = "\n    + ".join(parts)
        if phi and len(parts) > 1:
            right = f"({right})"
        return self.adjoint_latex(info, contributions, role), shown(f"{left} = {phi}{right}")

    def _text(self, s: Sum, with_samples: bool = False) -> str:
        names = {symbol: _entry(access) for symbol, access in s.located.items()}
        body = plain(s.body.subs(names, simultaneous=True))
        body = f"({body})" if isinstance(s.body, sp.Piecewise) else body
        over = ", ".join([*(self._over(loop) for loop in s.solution.loops), *(["t"] if with_samples else [])])
        text = f"{'max' if s.combine == 'max' else 'sum'} over {over} of {body}" if over else body
        if s.solution.quotients:
            text += " where " + ", ".join(f"{name} = {plain(value)}" for name, value in s.solution.quotients)
        return f"{text} if {conditions_text(s.solution.conditions)}" if s.solution.conditions else text

    def _over(self, loop: SolvedLoop) -> str:
        if loop.unknown.kind != "row":
            return str(loop.unknown.symbol)
        column = self.columns[loop.by] if loop.by else ""
        return f"{ROW} in {loop.unknown.relation}" + (
            f" with {column}({ROW}) = {plain(loop.key)}" if column else ""
        )


def _left(name: str, axes: Sequence[AxisVariable]) -> str:
    return f"{name}[{', '.join(a.symbol.name for a in axes)}]" if axes else name


def _entry(access: Access) -> sp.Symbol:
    """A tensor's entry as a symbol that prints as ``name[index]``."""
    index = ", ".join(plain(e) for e in access.index)
    return sp.Symbol(f"{access.tensor}[{index}]" if index else access.tensor, real=True)
