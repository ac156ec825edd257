"""Printed NumPy kernels against the definition itself, at ordinary points and where kinks and ties lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import sympy as sp

from ...derive.interpreter.definition import Computed, DefinitionValues
from ...derive.interpreter.draw import drawn_sizes
from ...derive.interpreter.points import KINDS, drawn_tensors
from ...derive.interpreter.sizes import SizeValues
from ...derive.ir import Kernel
from ...derive.pipeline import Derivation
from ..analysis.signature import arguments
from .trial import PrintedKernels

Array = np.ndarray[Any, np.dtype[Any]]
#: Errors relative to the size of what is added up.
TOLERANCES = {"float64": 1e-9, "float32": 2e-4}
#: What is added up counts as at least this large: 1 - tanh² has the rounding of 1.
LEAST = {"float64": 1e-3, "float32": 1.0}
#: How far arguments are moved, and how often, to see whether rounding in float32 crosses a kink.
ROUNDING, NEIGHBOURS = 3e-7, 12
#: From here on float32 has no finite number, or has lost its digits.
LARGEST = {"float64": 1e300, "float32": 1e36}


@dataclass(frozen=True)
class Difference:
    """A kernel that does not give what the definition says, or raises; ``problem`` says which."""

    kernel: str
    dtype: str
    kind: str
    sizes: str
    problem: str

    def __str__(self) -> str:
        return f"{self.kernel} ({self.dtype}, {self.kind} values, {self.sizes}): {self.problem}"


def differences(derivation: Derivation, text: str, random: Random, shapes: int = 3) -> Iterator[Difference]:
    """Every kernel of the module ``text`` that differs, on ``shapes`` random shapes in both precisions."""
    first = random.randrange(len(KINDS))
    for number in range(shapes):
        sizes = drawn_sizes(derivation.definition, random)
        if sizes is None:
            return
        kind, samples = KINDS[(first + number) % len(KINDS)], random.choice((1, 2, 3, 5))
        generator = np.random.default_rng(random.getrandbits(32))
        tensors = drawn_tensors(derivation.definition, sizes, samples, kind, generator)
        for dtype in TOLERANCES if kind != "saturated" else ("float64",):  # of float32, exp(-400) is 0
            comparison = _Comparison(derivation, text, sizes, tensors, dtype)
            for kernel in derivation.kernels:
                if problem := comparison.problem(kernel):
                    given = ", ".join(f"{name}={size}" for name, size in sizes.sizes.items())
                    given += "".join(f", {name}={rows}" for name, rows in sizes.relations.items())
                    yield Difference(kernel.name, dtype, kind, f"{given}, {samples} samples", problem)


class _Comparison:
    """The kernels of one derivation on one point; every kernel reads what the definition gave before."""

    def __init__(
        self, derivation: Derivation, text: str, sizes: SizeValues, tensors: Mapping[str, Array], dtype: str
    ) -> None:
        self.definition, self.dtype = derivation.definition, dtype
        self.values = DefinitionValues(derivation.definition, sizes)
        self.arrays = {name: array.astype(dtype) for name, array in tensors.items()}
        samples = self.arrays[derivation.definition.input.name].shape[1]
        self.printed = PrintedKernels(text, derivation.tensors, sizes, samples, dtype)

    def problem(self, kernel: Kernel) -> str:
        """What is wrong with ``kernel``; nothing where it agrees, or reads what is not finite."""
        if not self.values.computes(kernel.name):
            return ""
        with np.errstate(all="ignore"):
            wide = {name: array.astype(np.float64) for name, array in self.arrays.items()}
            right = self.values.kernel(kernel.name, wide)
            factor = wide["dphi"] if kernel.finish == "dphi" else np.asarray(1.0)
            try:
                problem = self._compared(kernel, self.printed.run(kernel, self.arrays), right, wide, factor)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            self.arrays[kernel.output.name] = (right.value * factor).astype(self.dtype)
            if kernel.position and right.position is not None:
                self.arrays[kernel.position.name] = right.position.astype(self.dtype)
        return problem

    def _compared(
        self,
        kernel: Kernel,
        got: Mapping[str, Array],
        right: Computed,
        wide: Mapping[str, Array],
        factor: Array,
    ) -> str:
        """What differs; ``wide`` are the arguments in float64, ``factor`` is phi' of the layer below."""
        if not all(np.isfinite(wide[name]).all() for name in arguments(kernel, self.printed.tensors)):
            return ""
        own, size = got[kernel.output.name], right.size * np.abs(factor)
        problem = unlike(own, right.value * factor, size, self.dtype)
        if problem and self.dtype == "float32":
            near = self._nearest(kernel, wide, own.astype(np.float64), factor)
            problem = unlike(own, near, size, self.dtype)
        if problem or not kernel.position:
            return problem
        return elsewhere(got[kernel.position.name], right, self.dtype, self._exact(kernel))

    def _nearest(self, kernel: Kernel, wide: Mapping[str, Array], got: Array, factor: Array) -> Array:
        """What is nearest to ``got`` of the values around the arguments, where rounding may cross a kink."""
        generator = np.random.default_rng(0)
        positions = {name for name, tensor in self.printed.tensors.items() if tensor.kind == "position"}
        values = []
        for _ in range(NEIGHBOURS):
            moved = {
                name: array + ROUNDING * (1 + np.abs(array)) * generator.choice([-1.0, 0.0, 1.0], array.shape)
                for name, array in wide.items()
                if name not in positions
            }
            kept = {name: wide[name] for name in positions & set(wide)}
            values.append(self.values.kernel(kernel.name, moved | kept).value * factor)
        return np.clip(got, np.min(values, axis=0), np.max(values, axis=0))

    def _exact(self, kernel: Kernel) -> bool:
        """True where a maximum is of values without rounding at halves and small integers: a tie is a tie."""
        bodies = [r.body for _, r in self.values.stages[kernel.target].reductions]
        return all(isinstance(f, sp.Piecewise) for body in bodies for f in body.atoms(sp.Function)) and all(
            p.exp.is_Integer and p.exp > 0 for body in bodies for p in body.atoms(sp.Pow)
        )


def unlike(got: Array, right: Array, size: Array, dtype: str) -> str:
    """Where ``got`` differs most from ``right``; nothing where it is as near as ``dtype`` can be."""
    known = np.isfinite(right) & (size < LARGEST[dtype])
    if not known.any():
        return ""
    scale = max(float(np.max(size[known])), LEAST[dtype])
    errors = np.where(known, np.abs(got.astype(np.float64) - right) / scale, 0.0)
    errors = np.where(np.isnan(errors), np.inf, errors)
    worst = np.unravel_index(int(np.argmax(errors)), errors.shape)
    if errors[worst] <= TOLERANCES[dtype]:
        return ""
    return f"entry {tuple(int(n) for n in worst)} is {got[worst]!r}, the definition says {right[worst]!r}"


def elsewhere(got: Array, right: Computed, dtype: str, exact: bool) -> str:
    """Where the maximiser is another one, though no other value is as near to the largest as rounding.

    ``exact``: a tie counts as well; its first maximiser wins.
    """
    assert right.position is not None and right.lead is not None
    scale = np.max(np.abs(right.value[np.isfinite(right.value)]), initial=1.0)
    clear = right.lead > (1e-12 if dtype == "float64" else 1e-5) * scale
    if exact:
        clear |= right.lead == 0
    wrong = clear & (got != right.position) & np.isfinite(right.value)
    if not wrong.any():
        return ""
    first = tuple(int(n) for n in np.argwhere(wrong)[0])
    return f"the maximiser of entry {first} is {got[first]}, the definition says {right.position[first]}"
