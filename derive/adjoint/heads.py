"""Loss heads: a loss composed with a layer's coupled tail, such as cross-entropy with softmax (equation 30).

The *tail* of a layer are the stages after the last one that reads the input or a parameter.  Where the tail
couples units, equation 6 cannot be applied unit by unit.  Then the composition of tail and loss is
differentiated, and its terms cancel.  The result is proved by writing every sum out for a small index set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sympy as sp

from ..ir import Axis, Kernel, Nest, Tensor
from ..language.activations import y as y_symbol
from ..language.declarations import Access, Stage, TensorInfo
from ..language.losses import LOSSES, Loss, expand_logarithms, vanishes
from ..language.losses import t as t_symbol
from ..language.stages import Definition
from ..symbols.indices import AxisVariable
from ..symbols.names import latex, shown, shown_latex, summand_latex, summand_text
from .nests import NestBuilder, Term


@dataclass(frozen=True)
class Head:
    """A fused loss: kernels ``value`` and ``delta`` on the tail's first tensor."""

    loss: str
    tensor: str
    value: str
    delta: str
    latex: str
    text: str


@dataclass(frozen=True)
class _Form:
    """The composition of loss and tail, in terms of the tail's accesses and the target.

    * ``summand``: the loss is its sum over the units.
    * ``delta``: one unit's own terms, and factors times symbols of ``sums``.
    * ``sums``: symbols, and the summands whose sums over the units they stand for.
    """

    summand: sp.Expr
    delta: sp.Expr
    sums: tuple[tuple[sp.Symbol, sp.Expr], ...]


def coupled_tail(definition: Definition) -> tuple[Stage, tuple[Stage, ...]] | None:
    """The stage below the tail, and the tail, where it contains a sum over units; None for other layers."""
    stages = definition.stages
    reads = [
        {definition.accesses[s].tensor for s in stage.symbols if s in definition.accesses} for stage in stages
    ]
    for n, base in enumerate(stages[:-1]):
        allowed = {s.name for s in stages[n:]}
        tail = [s for s in stages[n + 1 :] if s.name not in definition.shifts]
        closed = all(read <= allowed for read in reads[n + 1 :])
        plain = all(_is_elementwise(definition, s) for s in tail)
        if closed and plain and any(s.reductions for s in tail) and stages[-1].axes == base.axes:
            return base, tuple(tail)
    return None


def _is_elementwise(definition: Definition, stage: Stage) -> bool:
    """True for a map, or one sum over all axes, whose accesses are at bare index variables."""
    for symbol in stage.symbols:
        access = definition.accesses.get(symbol)
        if access is not None and not all(e.is_Symbol for e in access.index):
            return False
    if not stage.reductions:
        return True
    (accumulator, reduction), *more = stage.reductions
    whole = (
        stage.expression == accumulator
        and not stage.axes
        and not reduction.constraints
        and not reduction.bounds
    )
    return whole and not more and reduction.combine == "sum"


class _Composer:
    """Differentiates a loss composed with a tail; every tensor with the base's axes is written at the
    same index i.
    """

    def __init__(self, definition: Definition, base: Stage, tail: tuple[Stage, ...], loss: Loss) -> None:
        self.definition, self.base, self.tail, self.loss = definition, base, tail, loss
        self.index = tuple(a.symbol for a in base.axes)
        self.full = {s.name: self._symbol(s) for s in (base, *tail)}
        self.target = sp.Symbol(f"T[{', '.join(map(str, self.index))}]", real=True)

    def _symbol(self, stage: Stage) -> sp.Symbol:
        return sp.Symbol(f"{stage.name}[{', '.join(str(a.symbol) for a in stage.axes)}]", real=True)

    def at_index(self, e: sp.Expr) -> sp.Expr:
        """``e`` with every access of a full tensor written at index i, whatever its bound index was
        called.
        """
        replace = {}
        for symbol in e.free_symbols:
            access = self.definition.accesses.get(symbol)
            if access is not None and access.tensor in self.full:
                replace[symbol] = self.full[access.tensor]
        return e.subs(replace, simultaneous=True)

    def body(self, stage: Stage) -> sp.Expr:
        """What a stage computes per point: its expression, or the summand of its sum."""
        return self.at_index(stage.reductions[0][1].body if stage.reductions else stage.expression)

    def form(self) -> _Form:
        """Equations 6 and 7 through the tail, in terms of Z and of totals; the other terms cancel."""
        outputs = self.full["Z"]
        rho = self.loss.rho.subs({t_symbol: self.target, y_symbol: outputs}, simultaneous=True)
        adjoint: dict[str, sp.Expr] = {"Z": sp.diff(rho, outputs)}
        sums: list[tuple[sp.Symbol, sp.Expr]] = []
        totals = {self.full[s.name] for s in self.tail if s.reductions}
        for stage in reversed((self.base, *self.tail)):
            if stage.name == "Z":
                continue
            symbol, total = self.full[stage.name], sp.S.Zero
            for reader in (r for r in self.tail if r.name in adjoint):
                term = self.through_outputs(adjoint[reader.name] * sp.diff(self.body(reader), symbol))
                total += self._sum(term, totals, sums) if symbol in totals and not reader.reductions else term
            adjoint[stage.name] = self.through_outputs(total)
        return _Form(self._value(rho), sp.expand(adjoint[self.base.name]), tuple(sums))

    def _value(self, rho: sp.Expr) -> sp.Expr:
        """The loss with the tail's definitions under its logarithms, where that removes every exponential."""
        inlined = rho
        for stage in reversed([s for s in self.tail if not s.reductions]):
            inlined = inlined.subs(self.full[stage.name], self.body(stage))
        expanded = expand_logarithms(inlined)
        return rho if expanded.has(sp.exp) else sp.factor_terms(expanded)

    def through_outputs(self, e: sp.Expr) -> sp.Expr:
        """``e`` with the tail's maps named instead of written out, and the map that Z divides replaced
        by Z.
        """
        maps = [s for s in self.tail if not s.reductions and s.name != "Z"]
        for stage in maps:
            e = e.subs(self.body(stage), self.full[stage.name])
        definition = self.body(self.tail[-1])
        for stage in maps:
            symbol = self.full[stage.name]
            if definition.has(symbol):
                e = e.subs(symbol, self._inverse(definition, symbol))
        return sp.cancel(sp.together(e))

    def _inverse(self, definition: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
        """``symbol`` in terms of Z where Z is linear in it, else ``symbol`` itself."""
        factor = sp.diff(definition, symbol)
        return symbol if factor.has(symbol) else (self.full["Z"] - definition.subs(symbol, 0)) / factor

    def _sum(self, e: sp.Expr, totals: set[sp.Symbol], sums: list[tuple[sp.Symbol, sp.Expr]]) -> sp.Expr:
        """The sum of ``e`` over the units, with the factors that do not depend on the unit in front."""
        outside = sp.Mul(*(f for f in sp.Mul.make_args(sp.factor(e)) if not (f.free_symbols - totals)))
        inside = sp.expand(sp.cancel(e / outside))
        symbol = next((s for s, known in sums if known == inside), None)
        if symbol is None:
            symbol = sp.Symbol(f"sum({inside})", real=True)
            sums.append((symbol, inside))
        return outside * symbol

    def cancels(self, form: _Form) -> bool:
        """True where no division by a unit's own value is left, nor a case distinction."""
        parts = [form.delta, *(e for _, e in form.sums)]
        left = (sp.exp, sp.Piecewise, sp.zoo, sp.nan)
        return all(not p.has(*left) and sp.denom(sp.together(p)).is_number for p in parts)

    def prove(self, form: _Form, points: int = 3) -> bool:
        """Write every sum out over ``points`` units and compare with the composition, exactly."""
        q = sp.symbols(f"q0:{points}", positive=True)
        a = [sp.Symbol(f"a{k}", real=True) for k in range(points)]
        exponentials = {sp.exp(a[k]): q[k] for k in range(points)}
        values = self._written_out(a)

        def total(e: sp.Expr) -> sp.Expr:
            return sp.Add(*(e.subs(values[k]) for k in range(points)))

        r = total(self.loss.rho.subs({t_symbol: self.target, y_symbol: self.full["Z"]}, simultaneous=True))
        difference = sp.expand_log((r - total(form.summand)).subs(exponentials), force=True)
        if not vanishes(
            sp.expand(difference.subs({a[k]: sp.log(q[k]) for k in range(points)}))
        ) and not vanishes(difference):
            return False
        sums = {s: total(e) for s, e in form.sums}
        derived = (form.delta.subs(sums).subs(values[k]) for k in range(points))
        return all(vanishes((sp.diff(r, a[k]) - delta).subs(exponentials)) for k, delta in enumerate(derived))

    def _written_out(self, a: list[sp.Symbol]) -> list[dict[sp.Symbol, sp.Expr]]:
        """For every unit k the value of every tensor of the tail, where the base has the value a[k]."""
        targets = sp.symbols(f"t0:{len(a)}", real=True)
        shifts = {
            s: sp.S.Zero
            for s in self.definition.accesses
            if self.definition.accesses[s].tensor in self.definition.shifts
        }
        values: list[dict[sp.Symbol, sp.Expr]] = [
            {self.full[self.base.name]: value, self.target: target, **shifts}
            for value, target in zip(a, targets, strict=True)
        ]
        for stage in self.tail:
            bodies = [self.body(stage).subs(known) for known in values]
            for known, body in zip(values, bodies, strict=True):
                known[self.full[stage.name]] = sp.Add(*bodies) if stage.reductions else body
        return values


def derive_heads(
    definition: Definition, builder: NestBuilder
) -> tuple[dict[str, Head], tuple[Kernel, ...], dict[str, Tensor]]:
    """The fused loss kernels of a layer with a coupled tail, for every loss with which its terms cancel.

    A fused form that cannot be proved equal to the composition is not offered.
    """
    found = coupled_tail(definition)
    if found is None:
        return {}, (), {}
    base, tail = found
    info = definition.tensors["Z"]
    extra = {
        "T": TensorInfo("T", "target", info.axes, info.ragged, True),
        "weight": TensorInfo("weight", "input", (), False, True),
        "r": TensorInfo("r", "loss", (), False, True),
    }
    shape = tuple(builder.integer(sp.sympify(a.extent)) for a in info.axes)
    tensors = {
        k: Tensor(k, i.kind, shape if i.axes else (), True, i.ragged)  # type: ignore[arg-type]
        for k, i in extra.items()
    }
    heads: dict[str, Head] = {}
    kernels: list[Kernel] = []
    for loss in LOSSES:
        composer = _Composer(definition, base, tail, loss)
        form = composer.form()
        if not composer.cancels(form) or not composer.prove(form):
            continue
        writer = _HeadWriter(definition, builder, composer, form)
        value, delta = writer.value(tensors["r"]), writer.delta()
        kernels += [value, delta]
        heads[loss.name] = Head(loss.name, base.name, value.name, delta.name, delta.latex, delta.text)
    return heads, tuple(kernels), tensors


class _HeadWriter:
    """Writes the two kernels of one loss that was proved to cancel with the tail."""

    def __init__(
        self, definition: Definition, builder: NestBuilder, composer: _Composer, form: _Form
    ) -> None:
        self.composer, self.form, self.base, self.loss = composer, form, composer.base, composer.loss
        self.weight = sp.Symbol("weight[]", real=True)
        self.accesses = {
            **builder.accesses,
            composer.target: Access("T", composer.index),
            self.weight: Access("weight", ()),
        }
        for stage in (self.base, *composer.tail):
            self.accesses.setdefault(
                composer.full[stage.name], Access(stage.name, tuple(a.symbol for a in stage.axes))
            )
        self.builder = NestBuilder(definition, self.accesses)
        weight = TensorInfo("weight", "input", (), False, True)
        self.builder.extents = {**builder.extents, "T": definition.tensors["Z"], "weight": weight}
        read = (form.summand, form.delta, *(e for _, e in form.sums))
        self.names = {s: _tex(self.accesses[s]) for e in read for s in e.free_symbols if s in self.accesses}

    def value(self, output: Tensor) -> Kernel:
        """The loss of one sample: the sum of the summand over all units."""
        summand, index = self.form.summand, self.composer.index
        nest = self.builder.nest(Term(tuple(self.builder.unknown(s, {}) for s in index), (), summand, {}, ()))
        total = sp.Symbol("r", real=True)
        _, result = self.builder.scalar(total * self.weight, {total: 0})
        printed = f"r = {_over(index)}{summand_latex(summand, self.names)}"
        text = f"r = sum over {', '.join(map(str, index))} of {summand_text(summand)}".replace("[]", "")
        return Kernel(f"head_{self.loss.name}_value", "loss", "r", output, (), (nest,), result,
                      latex=printed, text=shown(text))  # fmt: skip

    def delta(self) -> Kernel:
        """The delta of the tail's first tensor."""
        form, base, integer = self.form, self.base, self.builder.integer
        axes = tuple(Axis(a.symbol.name, a.kind, integer(sp.sympify(a.extent))) for a in base.axes)
        nests = tuple(_sum_nest(self.builder, base.axes, e) for _, e in form.sums)
        temporaries, result = self.builder.scalar(
            form.delta * self.weight, {s: n for n, (s, _) in enumerate(form.sums)}
        )
        bound = {s: sp.Symbol(f"{s}'") for s in self.composer.index}
        inner = {s: _tex(self.accesses[s], bound) for s in self.names}
        sums = {s: rf"\left({_over(bound.values())}{summand_latex(e, inner)}\right)" for s, e in form.sums}
        below = ",".join(latex(s) for s in self.composer.index)
        left = rf"\delta^{{{shown_latex(base.name)}}}_{{{below}}}"
        printed = f"{left} = {latex(form.delta, names={**self.names, **sums})}"
        right = str(form.delta)
        for s, e in form.sums:
            right = right.replace(str(s), self._sum_text(e, bound))
        text = f"delta_{base.name}[{', '.join(map(str, self.composer.index))}] = {right}"
        output = Tensor(f"delta_{base.name}", "delta", tuple(axis.extent for axis in axes), True)
        return Kernel(f"head_{self.loss.name}_delta", "loss", base.name, output, axes, nests, result,
                      temporaries=temporaries, latex=printed, text=shown(text))  # fmt: skip

    def _sum_text(self, summand: sp.Expr, bound: Mapping[sp.Symbol, sp.Symbol]) -> str:
        """The sum of ``summand`` over the units as plain text, with the names of ``bound`` for the index."""
        entries = {
            s: sp.Symbol(f"{a.tensor}[{', '.join(str(e.subs(bound)) for e in a.index)}]".replace("[]", ""))
            for s in summand.free_symbols
            if (a := self.accesses.get(s)) is not None
        }
        over = ", ".join(map(str, bound.values()))
        return f"(sum over {over} of {summand_text(summand.subs(entries, simultaneous=True))})"


def _over(index: Iterable[sp.Symbol]) -> str:
    return "".join(rf"\sum_{{{latex(s)}}} " for s in index)


def _tex(access: Access, bound: Mapping[sp.Symbol, sp.Symbol] | None = None) -> str:
    """A tensor at its index, or where ``bound`` stands for it under a sum."""
    below = ",".join(latex(e.subs(bound or {})) for e in access.index)
    name = shown_latex(access.tensor)
    return f"{name}_{{{below}}}" if below else name


def _sum_nest(builder: NestBuilder, axes: tuple[AxisVariable, ...], summand: sp.Expr) -> Nest:
    """The sum of ``summand`` over all units, with the unit's index renamed away from the output's."""
    rename = {a.symbol: sp.Symbol(f"{a.symbol}_", integer=True, nonnegative=True) for a in axes}
    unknowns = tuple(builder.unknown(a.symbol, rename) for a in axes)
    return builder.nest(Term(unknowns, (), summand, rename, axes))


__all__ = ["Head", "coupled_tail", "derive_heads"]
