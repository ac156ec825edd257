"""Draws definition files: one layer of up to three stages, over random indices, accesses and functions.

Nothing but ``random`` decides, so that a seed or a property-testing library can stand behind it.  Most of
what is drawn can be derived; the rest is refused with a DefinitionError, like any wrong definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from .indices import IndexScope, IndexText, affine, condition

IMPORTS = """from phiz.derive import (
    Eq, Max, Sum, cos, exp, layer, log, maximum, minimum, piecewise, root, sigmoid, sin, softplus, sqrt, tanh,
)
"""
#: Functions of one argument that are finite and smooth everywhere, and those with a kink or a jump.
SMOOTH = (
    "tanh({0})", "sigmoid({0})", "sin({0})", "cos({0})", "softplus({0})", "exp(-({0})**2)", "({0})**2",
    "1 / (1 + ({0})**2)", "sqrt(1 + ({0})**2)", "log(1 + ({0})**2)", "({0})**3 / 8",
)  # fmt: skip
KINKED = (
    "abs({0})", "maximum({0}, 0)", "minimum({0}, 1)", "minimum(maximum({0}, -1), 1)",
    "maximum(-({0}), {0} / 4)", "piecewise(({0}, ({0}) > 1), (0, True))",
    "piecewise((0, ({0}) < 0), ({0}, ({0}) <= 1), (1, True))", "root(({0})**2)",
)  # fmt: skip
#: Functions of two arguments.
PAIRED = ("({0}) + ({1})", "({0}) * ({1})", "({0}) - ({1})", "maximum({0}, {1})", "minimum({0}, {1})",
          "({0}) * sigmoid({1})", "piecewise(({0}, ({0}) > ({1})), (({1}) / 2, True))")  # fmt: skip
BRANCHING = ("maximum", "minimum", "piecewise", "abs", "root")


@dataclass
class DrawnLayer:
    """The text of one layer while it is drawn."""

    random: Random
    small: bool = False
    lines: list[str] = field(default_factory=list)
    tensors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    parameters: int = 0

    def text(self, name: str) -> str:
        """A definition file with one layer."""
        self._input()
        self._axes()
        for number in range(0 if self.small else self.random.choice((0, 0, 0, 1, 1, 2))):
            self._stage(f"S{number}")
        outputs = self._outputs(least=1)
        self._require(outputs)
        final = ", ".join(v.name for v in outputs)
        self.lines.append(f"return L.output({final})({self._expression(outputs, last=True)})")
        body = "".join(f"    {line}\n" for line in self.lines)
        return f'{IMPORTS}\n\n@layer()\ndef {name}(L):\n    """A random layer."""\n{body}'

    # ------------------------------------------------------------------------------------------- declarations
    def _input(self) -> None:
        self.rank = self.random.choice((0, 1, 1) if self.small else (0, 0, 1, 1, 1, 2, 2, 3))
        self.table = self.rank > 0 and self.random.random() < 0.2
        ragged = self.table and self.random.random() < 0.4
        arguments = ", ".join(
            [*([str(self.rank)] if self.rank else []), *(["ragged=True"] if ragged else [])]
        )
        self.lines.append(f"Y = L.input({arguments})")
        self.ragged = ragged
        self.lines.append("k, A = L.size('k', 'step'), L.size('A', 'wide', random=(1, 4))")

    def _axes(self) -> None:
        """Output axes, and what reductions may run over."""
        self.outputs: list[IndexText] = []
        self.loops: list[IndexText] = []
        if self.table:
            self.lines.append("c = L.connections('table', Y)")
            self.outputs.append(IndexText("c.i", "I"))
            self.loops.append(IndexText("c", "", rows=True))
        else:
            self._maps()
        if self.ragged:
            self._ragged_coordinates()
        elif self.rank:
            self._coordinates()
        for number in range(self.random.choice((1, 1, 2))):
            extent = self.random.choice(("A", "A", "2", "k + 1"))
            self.lines.append(f"u{number} = L.axis('u{number}', {extent}, 'window')")
            self.loops.append(IndexText(f"u{number}", extent))
        self.tensors["Y"] = ("Y.J", *("" if self.ragged else f"Y.H[{r}]" for r in range(self.rank)))

    def _maps(self) -> None:
        own = self.random.random() < 0.3
        self.lines.append("i = L.own(Y)" if own else "i = L.maps('i')")
        self.outputs.append(IndexText("i", "Y.J" if own else "I"))
        self.loops.append(IndexText("Y.j", "Y.J"))
        if self.random.random() < 0.3:
            self.lines.append("jj = L.copy(Y.j, 'jj')")
            self.loops.append(IndexText("jj", "Y.J"))

    def _coordinates(self) -> None:
        extents = [self._extent(r) for r in range(self.random.randint(1, self.rank))]
        self.lines.append(f"x = L.coordinates('x', ({', '.join(extents)},))")
        self.outputs += [IndexText(f"x[{r}]", e) for r, e in enumerate(extents)]
        self.loops += [IndexText(f"Y.y[{r}]", f"Y.H[{r}]") for r in range(self.rank)]

    def _ragged_coordinates(self) -> None:
        extents = [f"Y.H[c.j][{r}] // k" for r in range(self.rank)]
        self.lines.append(f"x = L.coordinates('x', c.smallest(({', '.join(extents)},)))")
        self.outputs += [IndexText(f"x[{r}]", "") for r in range(self.rank)]

    def _extent(self, r: int) -> str:
        own = f"Y.H[{r}]"
        return self.random.choice(
            (own, own, f"{own} // k", f"({own} + k - 1) // k", f"{own} + 1", "A", "Y.H[0]")
        )

    def _outputs(self, least: int) -> list[IndexText]:
        """Some of the output axes; of tables and ragged maps all."""
        if self.table:
            return list(self.outputs)
        count = self.random.randint(least, len(self.outputs))
        chosen = sorted(self.random.sample(range(len(self.outputs)), count))
        return [self.outputs[n] for n in chosen]

    def _stage(self, name: str) -> None:
        outputs = self._outputs(least=0)
        expression = self._expression(outputs)
        axes = "".join(f", {v.name}" for v in outputs)
        self.lines.append(f"{name} = L.stage('{name}'{axes})({expression})")
        self.tensors[name] = tuple(v.extent for v in outputs)
        self.unread.append(name)

    def _require(self, outputs: Sequence[IndexText]) -> None:
        """Leaves nothing unread: what is not yet read is added to the last line by ``_expression``."""
        self.final = [
            name for name in ("Y", *self.unread) if not any(self._reads(line, name) for line in self.lines)
        ]

    @staticmethod
    def _reads(line: str, name: str) -> bool:
        return any(f"{name}{mark}" in line for mark in ("[", ".padded[", ".clipped["))

    # -------------------------------------------------------------------------------------------- expressions
    def _expression(self, outputs: Sequence[IndexText], last: bool = False) -> str:
        """A reduction, a function of reductions, or a map of what is there."""
        count = 1 if self.small else self.random.choice((1, 1, 1, 2))
        parts = [self._reduction(outputs) for _ in range(count)]
        if last:
            parts += [self._reduction(outputs, name) for name in self.final if not any(
                self._reads(part, name) for part in parts)]  # fmt: skip
        if self.random.random() < 0.35:
            parts.append(self._leaf(IndexScope(tuple(outputs)), reduced=False))
        text = parts[0]
        for part in parts[1:]:
            text = self._joined(text, part)
        return self._wrapped(text) if self.random.random() < 0.4 else text

    def _wrapped(self, text: str) -> str:
        return self.random.choice((*SMOOTH, *(KINKED if self._may_branch(text) else ()))).format(text)

    def _joined(self, first: str, second: str) -> str:
        return self.random.choice(PAIRED if self._may_branch(first + second) else PAIRED[:3]).format(
            first, second
        )

    def _may_branch(self, text: str) -> bool:
        """Expressions double with every branch, so that a text has two of them at most."""
        return sum(text.count(word) for word in BRANCHING) < 2

    def _reduction(self, outputs: Sequence[IndexText], reading: str = "") -> str:
        """``Sum`` or ``Max`` of a body over some of the loops, sometimes where a condition holds."""
        combine = "Max" if self.random.random() < 0.25 else "Sum"
        rows = [v for v in self.loops if v.rows]
        others = [v for v in self.loops if not v.rows]
        chosen = rows + self.random.sample(others, self.random.randint(0 if rows else 1, min(2, len(others))))
        scope = IndexScope((*outputs, *chosen))
        body = self._leaf(scope, reduced=True, reading=reading)
        for _ in range(self.random.choice((0, 1, 1, 2))):
            leaf = self._leaf(scope, reduced=True)
            body = PAIRED[1].format(body, leaf) if self.random.random() < 0.3 else self._joined(body, leaf)
            if self.random.random() < 0.35:
                body = self._wrapped(body)
        where = ""
        if self.random.random() < 0.25 and not rows:
            where = f", where={condition(self.random, scope)}"
        return f"{combine}({body}, {', '.join(v.name for v in chosen)}{where})"

    def _leaf(self, scope: IndexScope, reduced: bool, reading: str = "") -> str:
        """An access to a tensor, to a new parameter, an index, or a number."""
        kind = self.random.random()
        if reading or kind < 0.55:
            text = self._access(reading or self.random.choice([*self.tensors]), scope, reduced)
        elif kind < 0.85:
            text = self._parameter(scope)
        elif kind < 0.95:
            numbers = [v for v in scope.variables if not v.rows]
            text = f"({affine(self.random, numbers)})" if numbers else "2"
        else:
            text = self.random.choice(("2", "Rational(1, 2)", "-1")).replace("Rational(1, 2)", "1 / (k + 1)")
        return self._wrapped(text) if self.random.random() < 0.2 else text

    def _access(self, name: str, scope: IndexScope, reduced: bool) -> str:
        index, safe = [], True
        for number, extent in enumerate(self.tensors[name]):
            entry, exact = self._entry(scope, extent, first=number == 0, name=name)
            index.append(entry)
            safe = safe and exact
        mode = (
            "" if safe else self.random.choice((".padded", ".padded", ".clipped")) if reduced else ".padded"
        )
        return f"{name}{mode}[{', '.join(index)}]" if index else f"{name}()"

    def _entry(self, scope: IndexScope, extent: str, first: bool, name: str) -> tuple[str, bool]:
        """An index, and whether it is surely inside."""
        if self.table and name == "Y" and first and any(v.rows for v in scope.variables):
            return "c.j", True
        numbers = [v for v in scope.variables if not v.rows]
        fitting = [v for v in numbers if v.extent == extent and extent]
        if fitting and self.random.random() < 0.65:
            return self.random.choice(fitting).name, True
        if not numbers:
            return "0", extent not in ("", "A")
        return affine(self.random, numbers), False

    def _parameter(self, scope: IndexScope) -> str:
        """A new parameter over some of the indices."""
        name = f"w{self.parameters}"
        self.parameters += 1
        axes, names = [v for v in scope.variables if not v.rows], self._parameter_axes(scope)
        self.lines.append(f"{name} = L.parameter('{name}'{''.join(f', {n}' for n in names)})")
        if not names:
            return f"{name}()"
        if "*c.q" not in names and self.random.random() < 0.15:
            return f"{name}.padded[{', '.join(affine(self.random, axes) for _ in names)}]"
        return f"{name}[{', '.join(names)}]"

    def _parameter_axes(self, scope: IndexScope) -> list[str]:
        """The kernel of a connection, where there is one, and some of the indices; of ragged maps the map."""
        kernel = ["*c.q"] if any(v.rows for v in scope.variables) else []
        axes = [v.name for v in scope.variables if not v.rows]
        chosen = self.random.sample(axes, self.random.randint(0, min(3, len(axes))))
        if not self.ragged:
            return [*kernel, *chosen]
        return kernel or [name for name in chosen if name == "c.i"]


def drawn_definition(random: Random, name: str = "drawn", small: bool = False) -> str:
    """The text of a definition file with a random layer ``name``; a ``small`` one is of rank 1 at most."""
    return DrawnLayer(random, small).text(name)
