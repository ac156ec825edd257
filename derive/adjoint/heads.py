"""Loss heads: a loss composed with a layer's coupled tail, such as cross-entropy with softmax (equation 30).

The *tail* of a layer are the stages after the last one that reads the input or a parameter.  Where the tail couples units, equation
6 cannot be applied unit by unit; the composition of tail and loss is differentiated instead, its terms cancel, and the result is
proved by writing every sum out for small index sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from ..ir import Axis, Kernel, Nest, Tensor
from ..language.activations import y as y_symbol
from ..language.losses import LOSSES, Loss, expand_logarithms, vanishes
from ..language.losses import t as t_symbol
from ..language.stages import Definition, Stage, TensorInfo
from ..language.tensors import Access
from ..symbols.indices import AxisVariable
from ..symbols.names import latex, shown, shown_latex
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
    """Value summand, and delta as ``local + factor * sum(summed)``, in terms of the tail's accesses and the target."""

    summand: sp.Expr
    delta: sp.Expr
    sums: tuple[tuple[sp.Symbol, sp.Expr], ...]


def coupled_tail(definition: Definition) -> tuple[Stage, tuple[Stage, ...]] | None:
    """The base stage and the tail, where the tail contains a sum over units; None for other layers."""
    stages = definition.stages
    reads = [{definition.accesses[s].tensor for s in _symbols(stage) if s in definition.accesses} for stage in stages]
    for n, base in enumerate(stages[:-1]):
        allowed = {s.name for s in stages[n:]}
        tail = [s for s in stages[n + 1 :] if s.name not in definition.shifts]
        closed = all(read <= allowed for read in reads[n + 1 :])
        plain = all(_is_elementwise(definition, s) for s in tail)
        if closed and plain and any(s.reductions for s in tail) and stages[-1].axes == base.axes:
            return base, tuple(tail)
    return None


def _symbols(stage: Stage) -> set[sp.Symbol]:
    found = set(stage.expression.free_symbols)
    for _, reduction in stage.reductions:
        found |= reduction.body.free_symbols
    return found


def _is_elementwise(definition: Definition, stage: Stage) -> bool:
    """Accesses at bare index variables; at most one reduction, a sum, that is the whole stage and uses up the axes."""
    for symbol in _symbols(stage):
        access = definition.accesses.get(symbol)
        if access is not None and not all(e.is_Symbol for e in access.index):
            return False
    if not stage.reductions:
        return True
    (accumulator, reduction), *more = stage.reductions
    whole = stage.expression == accumulator and not stage.axes and not reduction.constraints and not reduction.bounds
    return whole and not more and reduction.combine == "sum"


class _Composer:
    """Differentiates loss after tail; every tensor with the base's axes is written at the same index i."""

    def __init__(self, definition: Definition, base: Stage, tail: tuple[Stage, ...], loss: Loss) -> None:
        self.definition, self.base, self.tail, self.loss = definition, base, tail, loss
        self.index = tuple(a.symbol for a in base.axes)
        self.full = {s.name: self._symbol(s) for s in (base, *tail)}
        self.target = sp.Symbol(f"T[{', '.join(map(str, self.index))}]", real=True)

    def _symbol(self, stage: Stage) -> sp.Symbol:
        return sp.Symbol(f"{stage.name}[{', '.join(str(a.symbol) for a in stage.axes)}]", real=True)

    def at_index(self, e: sp.Expr) -> sp.Expr:
        """``e`` with every access of a full tensor written at index i, whatever its bound index was called."""
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
        """Equations 6 and 7 through the tail, written in Z and in totals, where the tail's other terms cancel."""
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
        """The loss with its logarithms taken of the tail's definitions, where that removes every exponential."""
        inlined = rho
        for stage in reversed([s for s in self.tail if not s.reductions]):
            inlined = inlined.subs(self.full[stage.name], self.body(stage))
        expanded = expand_logarithms(inlined)
        return rho if expanded.has(sp.exp) else sp.factor_terms(expanded)

    def through_outputs(self, e: sp.Expr) -> sp.Expr:
        """``e`` with the tail's maps named instead of written out, and the map that Z divides replaced by Z."""
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
        base, q = self.full[self.base.name], sp.symbols(f"q0:{points}", positive=True)
        targets = sp.symbols(f"t0:{points}", real=True)
        a = [sp.Symbol(f"a{k}", real=True) for k in range(points)]
        shifts = {s: sp.S.Zero for s in self.definition.accesses if self.definition.accesses[s].tensor in self.definition.shifts}
        values: list[dict[sp.Symbol, sp.Expr]] = [{base: a[k], self.target: targets[k], **shifts} for k in range(points)]
        for stage in self.tail:
            symbol, body = self.full[stage.name], self.body(stage)
            if stage.reductions:
                total = sp.Add(*(body.subs(values[k]) for k in range(points)))
                for k in range(points):
                    values[k][symbol] = total
            else:
                for k in range(points):
                    values[k][symbol] = body.subs(values[k])
        rho = self.loss.rho.subs({t_symbol: self.target, y_symbol: self.full["Z"]}, simultaneous=True)
        r = sp.Add(*(rho.subs(values[k]) for k in range(points)))
        fused = sp.Add(*(form.summand.subs(values[k]) for k in range(points)))
        exponentials = {sp.exp(a[k]): q[k] for k in range(points)}
        difference = sp.expand_log((r - fused).subs(exponentials), force=True)
        if not vanishes(sp.expand(difference.subs({a[k]: sp.log(q[k]) for k in range(points)}))) and not vanishes(difference):
            return False
        sums = {s: sp.Add(*(e.subs(values[k]) for k in range(points))) for s, e in form.sums}
        for k in range(points):
            derived = form.delta.subs(sums).subs(values[k])
            if not vanishes((sp.diff(r, a[k]) - derived).subs(exponentials)):
                return False
        return True


def derive_heads(definition: Definition, builder: NestBuilder) -> tuple[dict[str, Head], tuple[Kernel, ...], dict[str, Tensor]]:
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
        k: Tensor(k, i.kind, shape if i.axes else (), True, i.ragged) for k, i in extra.items()  # type: ignore[arg-type]
    }
    heads: dict[str, Head] = {}
    kernels: list[Kernel] = []
    for loss in LOSSES:
        composer = _Composer(definition, base, tail, loss)
        form = composer.form()
        if not composer.cancels(form) or not composer.prove(form):
            continue
        value, delta = _kernels(definition, builder, composer, form, tensors)
        kernels += [value, delta]
        heads[loss.name] = Head(loss.name, base.name, value.name, delta.name, delta.latex, delta.text)
    return heads, tuple(kernels), tensors


def _kernels(definition: Definition, builder: NestBuilder, composer: _Composer, form: _Form,
             tensors: Mapping[str, Tensor]) -> tuple[Kernel, Kernel]:  # fmt: skip
    base, loss = composer.base, composer.loss
    index = composer.index
    weight = sp.Symbol("weight[]", real=True)
    accesses = dict(builder.accesses)
    accesses[composer.target] = Access("T", index)
    accesses[weight] = Access("weight", ())
    for stage in (base, *composer.tail):
        accesses.setdefault(composer.full[stage.name], Access(stage.name, tuple(a.symbol for a in stage.axes)))
    local = NestBuilder(definition, accesses)
    local.extents = {**builder.extents, "T": definition.tensors["Z"], "weight": TensorInfo("weight", "input", (), False, True)}
    total = sp.Symbol("r", real=True)
    unknowns = tuple(local.unknown(s, {}) for s in index)
    nest = local.nest(Term(unknowns, (), form.summand, {}, ()))
    _, result = local.scalar(total * weight, {total: 0})
    names = {symbol: _tex(accesses[symbol]) for e in (form.summand, form.delta, *(e for _, e in form.sums))
             for symbol in e.free_symbols if symbol in accesses}  # fmt: skip
    over = "".join(rf"\sum_{{{latex(s)}}} " for s in index)
    sum_names = {s: rf"\left({over}{latex(e, names=names)}\right)" for s, e in form.sums}
    text = f"sum over {', '.join(map(str, index))} of {form.summand}".replace("[]", "")
    value_latex = f"r = {over}{latex(form.summand, names=names)}"
    value = Kernel(f"head_{loss.name}_value", "loss", "r", tensors["r"], (), (nest,), result,
                   latex=value_latex, text=shown(f"r = {text}"))  # fmt: skip
    axes = tuple(Axis(a.symbol.name, a.kind, builder.integer(sp.sympify(a.extent))) for a in base.axes)
    nests = tuple(_sum_nest(local, base.axes, e, composer) for _, e in form.sums)
    temporaries, delta_result = local.scalar(form.delta * weight, {s: n for n, (s, _) in enumerate(form.sums)})
    below = ",".join(latex(s) for s in index)
    delta_latex = rf"\delta^{{{shown_latex(base.name)}}}_{{{below}}} = {latex(form.delta, names={**names, **sum_names})}"
    output = Tensor(f"delta_{base.name}", "delta", tuple(builder.integer(sp.sympify(a.extent)) for a in base.axes), True)
    delta = Kernel(f"head_{loss.name}_delta", "loss", base.name, output, axes, nests, delta_result, "", None, temporaries,
                   latex=delta_latex, text=shown(f"delta_{base.name}[{', '.join(map(str, index))}] = {form.delta}"))  # fmt: skip
    return value, delta


def _tex(access: Access) -> str:
    below = ",".join(latex(e) for e in access.index)
    name = shown_latex(access.tensor)
    return f"{name}_{{{below}}}" if below else name


def _sum_nest(builder: NestBuilder, axes: tuple[AxisVariable, ...], summand: sp.Expr, composer: _Composer) -> Nest:
    """The sum of ``summand`` over all units, with the unit's index renamed away from the output's."""
    rename = {a.symbol: sp.Symbol(f"{a.symbol}_", integer=True, nonnegative=True) for a in axes}
    unknowns = tuple(builder.unknown(a.symbol, rename) for a in axes)
    return builder.nest(Term(unknowns, (), summand, rename, axes))


__all__ = ["Head", "coupled_tail", "derive_heads"]
