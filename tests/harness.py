"""Runs a derived layer through the interpreter: sizes from its definition, forward, deltas and
gradients, finite differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
from phiz.derive.language.layer import Family, Option
from phiz.derive.language.stages import Definition
from phiz.derive.pipeline import Derivation, derive_definition
from phiz.derive.symbols import integers
from sympy.core.function import AppliedUndef

from tests.interpreter import FLOAT, INTEGER, Arithmetic, Environment, Interpreter, Values, zeros

Relations = Mapping[str, Mapping[str, list[int]]]
_INTEGER = {
    integers.FloorDiv: "floordiv",
    integers.CeilDiv: "ceildiv",
    integers.Modulo: "mod",
    integers.Gcd: "gcd",
    integers.Inverse: "inverse",
    integers.Largest: "max",
    integers.Smallest: "min",
    sp.Add: "add",
    sp.Mul: "mul",
}


def evaluate(e: sp.Expr, env: Environment) -> int:
    """An integer SymPy expression at sizes and relations."""
    if e.is_Integer:
        return int(e)
    if e.is_Symbol:
        return env[e.name]
    args = [evaluate(a, env) for a in e.args]
    if isinstance(e, AppliedUndef):
        name = e.func.__name__
        if name in env:
            return env[name][args[0]]
        relation, column = name.split("_", 1)
        return env["relation", relation][column][args[0]]
    if e.is_Pow:
        return args[0] ** args[1]
    return INTEGER[_INTEGER[type(e)]](*args)


def resolve(
    definition: Definition,
    shape: tuple[int, ...] | list[tuple[int, ...]],
    relations: Relations,
    keywords: Mapping[str, Any],
) -> Environment:
    """Every size of a layer.

    ``shape`` is (maps, coordinates...) or, for ragged maps, a list of each map's coordinates.

    ``keywords`` give sizes by their symbol (``k0=2``), tables of sizes as lists.
    """
    env: Environment = {("relation", name): columns for name, columns in relations.items()}

    def called(name: str) -> str:
        return definition.names.get(name, name)

    ragged = isinstance(shape, list)
    for info in definition.sizes.values():
        if info.source == "input":
            axis = info.axis or 0
            if ragged:
                env[info.name] = len(shape) if axis == 0 else [entry[axis - 1] for entry in shape]  # type: ignore[index]
            else:
                env[info.name] = shape[axis]
        elif info.source == "relation" and called(info.name) not in keywords:
            entries = relations[info.relation or ""][info.column or ""]
            env[info.name] = max(entries) + 1 if entries else 0
        elif info.source == "derived":
            env[info.name] = _derived(info, env, keywords)
        else:
            env[info.name] = keywords.get(called(info.name), info.default)
    return env


def _derived(info: Any, env: Environment, keywords: Mapping[str, Any]) -> Any:
    if not info.table:
        return evaluate(info.value, env)
    if not info.smallest:
        return [evaluate(info.value, {**env, info.index: n}) for n in range(env[info.table])]
    relation, by, row = info.smallest
    groups = env["relation", relation][by]
    table = []
    for n in range(env[info.table]):
        sizes = [evaluate(info.value, {**env, row: r}) for r, group in enumerate(groups) if group == n]
        table.append(
            min(sizes) if sizes else keywords.get("empty", 1)
        )  # an empty D_i leaves the domain to the user
    return table


class LayerRun:
    """One layer at fixed sizes; tensors are dicts (see ``tests.interpreter``)."""

    def __init__(
        self,
        derivation: Derivation,
        shape: tuple[int, ...] | list[tuple[int, ...]],
        relations: Relations | None = None,
        samples: int = 1,
        arithmetic: Arithmetic = FLOAT,
        **keywords: Any,
    ) -> None:
        self.derivation, self.samples = derivation, samples
        self.env = resolve(derivation.definition, shape, relations or {}, keywords)
        self.programs = programs(derivation, arithmetic)
        self.values: Values = {}

    @cached_property
    def parameters(self) -> list[str]:
        """Names of the parameters."""
        return [p.name for p in self.derivation.definition.parameters]

    def fill(self, name: str, draw: Callable[[], Any]) -> dict[tuple[int, ...], Any]:
        """Give tensor ``name`` drawn values."""
        tensor = zeros(self.derivation.tensors[name], self.env, self.samples)
        self.values[name] = {key: draw() for key in tensor}
        return self.values[name]

    def randomise(self, rng: np.random.Generator, low: float = -1.0, high: float = 1.0) -> None:
        """Uniform inputs, parameters and output deltas."""
        for name in ("Y", *self.parameters):
            self.fill(name, lambda: float(rng.uniform(low, high)))
        self.fill("delta_Z", lambda: float(rng.uniform(-1, 1)))

    def run(self, *roles: str) -> Values:
        """Run the kernels with these roles, in order."""
        for kernel in self.derivation.kernels:
            if kernel.role in roles:
                self.programs[kernel.name](self.env, self.values, self.samples)
        return self.values

    def forward(self) -> dict[tuple[int, ...], Any]:
        """Z."""
        return self.run("forward")["Z"]

    def backward(self) -> Values:
        """Deltas and gradients."""
        return self.run("delta", "gradient", "sample_gradient")

    def array(self, name: str) -> np.ndarray:
        """A tensor that is not ragged as an array, the sample axis last."""
        entries = self.values[name]
        shape = tuple(max(key[r] for key in entries) + 1 for r in range(len(next(iter(entries)))))
        result = np.full(shape, np.nan)
        for key, value in entries.items():
            result[key] = value
        return result

    def objective(self) -> float:
        """<delta_Z, Z>, whose derivatives are delta_Y and the gradients."""
        Z = self.forward()
        return sum(d * Z[key] for key, d in self.values["delta_Z"].items())

    def check_differences(self, step: float = 1e-5, tolerance: float = 1e-6) -> None:
        """Every delta and gradient against central differences of the forward pass, relative to the
        largest entry.
        """
        self.forward()
        self.backward()
        for name in ("Y", *self.parameters):
            derived = self.values["delta_Y" if name == "Y" else f"gradient_{name}"]
            assert derived.keys() == self.values[name].keys(), name
            numeric = {key: self._difference(name, key, step) for key in derived}
            scale = max(1e-3, *(abs(v) for v in numeric.values()))
            for key, value in derived.items():
                error = abs(value - numeric[key]) / scale
                assert error < tolerance, (
                    f"{self.derivation.name} {name}{list(key)}: derived {value}, differences {numeric[key]}"
                )
            if name != "Y":
                self._check_samples(name)

    def _difference(self, name: str, key: tuple[int, ...], step: float) -> float:
        entries = self.values[name]
        kept = entries[key]
        entries[key] = kept + step
        above = self.objective()
        entries[key] = kept - step
        below = self.objective()
        entries[key] = kept
        return (above - below) / (2 * step)

    def _check_samples(self, name: str) -> None:
        rows = self.values[f"samplegradient_{name}"]
        for key, value in self.values[f"gradient_{name}"].items():
            total = sum(rows[(*key, t)] for t in range(self.samples))
            assert abs(total - value) <= 1e-12 * max(1.0, abs(value)), f"{name}{list(key)}"


_PROGRAMS: dict[tuple[int, int], tuple[Derivation, dict[str, Any]]] = {}


def programs(derivation: Derivation, arithmetic: Arithmetic = FLOAT) -> dict[str, Any]:
    """The kernels of ``derivation`` ready to run, kept for the next call."""
    key = (id(derivation), id(arithmetic))
    if key not in _PROGRAMS:
        interpreter = Interpreter(derivation.tensors, arithmetic)
        _PROGRAMS[key] = derivation, {k.name: interpreter.program(k) for k in derivation.kernels}
    return _PROGRAMS[key][1]


_DERIVED: dict[tuple[str, tuple[tuple[str, Option], ...]], Derivation] = {}


def derived(family: Family, **options: Option) -> Derivation:
    """The derivation of a layer, made once; options that are not given take their default."""
    options = {name: options.get(name, values[0]) for name, values in family.options.items()}
    key = (family.name, tuple(sorted(options.items())))
    if key not in _DERIVED:
        _DERIVED[key] = derive_definition(family, options)
    return _DERIVED[key]
