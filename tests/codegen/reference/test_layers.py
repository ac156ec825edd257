"""Every derived kernel of every definition, printed as NumPy, against the brute-force interpreter of the IR.

Random sizes and connections; both dtypes, which the kernels must keep; one sample and three.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import phiz.derive.layers
import pytest
from phiz.codegen.analysis.signature import arguments, relations, sizes
from phiz.codegen.reference.printer import numpy_source
from phiz.derive.adjoint.bounds import range_checks
from phiz.derive.ir import Kernel, Tensor
from phiz.derive.language.layer import Family
from phiz.derive.pipeline import Derivation, derive_definition
from phiz.runtime.program.connections import ConnectionTable

import tests.layers
from tests.harness import LayerRun, evaluate
from tests.interpreter import Environment, Values, integer

Arrays = np.ndarray | list[np.ndarray]
POSITIVE = ("product_pooling", "power_mean")  # powers of the input that are real for positive numbers alone


def families() -> Iterator[Family]:
    for package in (phiz.derive.layers, tests.layers):
        for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
            found = vars(importlib.import_module(f"{package.__name__}.{module}"))
            yield from (found[name] for name in sorted(found) if isinstance(found[name], Family))


VARIANTS = {f.variant_name(o): (f, o) for f in families() for o in f.variants()}


def as_arrays(
    tensor: Tensor, entries: Mapping[tuple[int, ...], float], env: Environment, samples: int
) -> Arrays:
    """A tensor of the interpreter as the NumPy kernels take it."""
    first = integer(tensor.shape[0])(env) if tensor.ragged else 0

    def one(prefix: tuple[int, ...], inner: Environment) -> np.ndarray:
        shape = [integer(s)(inner) for s in tensor.shape[len(prefix) :]] + [samples] * tensor.samples
        array = np.empty(shape)
        for index in np.ndindex(*shape):
            array[index] = entries[(*prefix, *index)]
        return array

    return [one((m,), {**env, "_": m}) for m in range(first)] if tensor.ragged else one((), env)


def cast(value: Arrays, dtype: type) -> Arrays:
    return [v.astype(dtype) for v in value] if isinstance(value, list) else value.astype(dtype)


def check(got: Any, want: Arrays, dtype: type, name: str) -> None:
    if isinstance(want, list):
        assert isinstance(got, list) and len(got) == len(want), name
        for a, b in zip(got, want, strict=True):
            check(a, b, dtype, name)
        return
    assert isinstance(got, np.ndarray) and got.dtype == dtype and got.shape == want.shape, name
    exact = dtype is np.float64
    scale = float(np.max(np.abs(want), initial=1.0))
    np.testing.assert_allclose(
        got, want, rtol=1e-9 if exact else 1e-3, atol=(1e-11 if exact else 1e-4) * scale, err_msg=name
    )


class Case:
    """A derivation at random sizes that fit it."""

    def __init__(self, derivation: Derivation, rng: np.random.Generator) -> None:
        self.derivation, self.rng = derivation, rng
        definition = derivation.definition
        infos = list(definition.sizes.values())
        given = [i for i in infos if i.source == "input"]
        rank = max(i.axis or 0 for i in given)
        maps = int(rng.integers(1, 4))
        called = {i.name: definition.names.get(i.name, i.name) for i in infos}
        drawn = {i.name: self.drawn(i) for i in infos if i.source == "keyword" and not i.table}
        self.keywords: dict[str, Any] = {called[name]: value for name, value in drawn.items()}
        shapes = [tuple(int(n) for n in rng.integers(1, 8, rank)) for _ in range(maps)]
        self.shape = shapes if definition.input.ragged else (maps, *shapes[0])
        known = {**drawn, **{i.name: maps if not i.axis else shapes[0][i.axis - 1] for i in given}}
        self.relations = {r.name: self.rows(dict(r.columns), known) for r in definition.relations.values()}
        for info in infos:
            if info.source == "keyword" and info.table:
                self.keywords[called[info.name]] = [self.drawn(info) for _ in range(known[info.table])]
        self.samples = int(rng.choice([1, 3]))
        self.run = LayerRun(derivation, self.shape, self.relations, samples=self.samples, **self.keywords)
        self.env = self.run.env
        if any(np.min(self.env[i.name], initial=9) < i.minimum for i in infos):
            raise ValueError("sizes do not fit")
        if any(evaluate(c.value, self.env) < 0 for c in range_checks(definition)):
            raise ValueError("an access is out of range")

    def drawn(self, info: Any) -> int:
        low, high = info.random or (1, 3)
        return int(self.rng.integers(low, high + 1))

    def rows(self, columns: Mapping[str, str], known: dict[str, int]) -> dict[str, list[int]]:
        count = int(self.rng.integers(1, 7))
        found = {}
        for column, size in columns.items():
            new = size not in known
            known.setdefault(size, int(self.rng.integers(1, 4)))
            found[column] = [int(v) for v in self.rng.integers(0, known[size], count)]
            if new:
                found[column][-1] = known[size] - 1
        return found

    def fill(self) -> None:
        positive = self.derivation.name.startswith(POSITIVE)
        self.run.randomise(self.rng, *((0.2, 1.5) if positive else ()))
        for name in {"T", "weight"} & set(self.derivation.tensors):
            self.run.fill(name, lambda: float(self.rng.uniform(0.1, 0.9)))

    def interpreted(self) -> Iterator[tuple[Kernel, Values]]:
        """Every kernel with the tensors after it ran (a later kernel may write the same tensor)."""
        for kernel in self.derivation.kernels:
            self.run.programs[kernel.name](self.env, self.run.values, self.samples)
            yield kernel, dict(self.run.values)

    def call(self, module: types.ModuleType, kernel: Kernel, dtype: type) -> None:
        """Run one kernel both ways."""
        values, tensors = self.run.values, self.derivation.tensors
        inputs = [
            cast(as_arrays(tensors[a], values[a], self.env, self.samples), dtype)
            for a in arguments(kernel, tensors)
        ]
        kept = [np.copy(a) for group in inputs for a in (group if isinstance(group, list) else [group])]
        want = as_arrays(kernel.output, values[kernel.output.name], self.env, self.samples)
        factor = []
        if kernel.finish == "dphi":
            shapes = [w.shape for w in want] if isinstance(want, list) else [want.shape]
            factor = [self.rng.uniform(0.5, 2.0, shape) for shape in shapes]
            want = (
                [w * f for w, f in zip(want, factor, strict=True)]
                if isinstance(want, list)
                else want * factor[0]
            )
            factor = [cast(factor if isinstance(want, list) else factor[0], dtype)]
        names = {
            s: np.array(self.env[s]) if isinstance(self.env[s], list) else self.env[s]
            for s in sizes(kernel, tensors)
        }
        names |= {r: self.relation(r) for r in relations(kernel)}
        function = getattr(module, kernel.name)
        unknown = set(inspect.signature(function).parameters) & {"samples", "dtype"}
        names |= {
            k: v for k, v in {"samples": self.samples, "dtype": np.dtype(dtype)}.items() if k in unknown
        }
        got = function(*inputs, *factor, **names)
        if kernel.position is not None:
            got, position = got
            if dtype is np.float64:  # rounding to float32 may make ties
                check(
                    position,
                    as_arrays(kernel.position, values[kernel.position.name], self.env, self.samples),
                    dtype,
                    kernel.name,
                )
        check(got, want, dtype, f"{kernel.name} {self.shape} {self.keywords} {self.relations}")
        after = [a for group in inputs for a in (group if isinstance(group, list) else [group])]
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(after, kept, strict=True)), (
            "an argument changed"
        )
        outputs = got if isinstance(got, list) else [got]
        assert not any(np.shares_memory(o, a) for o in outputs for a in after), (
            "the output shares memory with an argument"
        )

    def relation(self, name: str) -> ConnectionTable:
        columns = dict(self.derivation.definition.relations[name].columns)
        return ConnectionTable(name, self.relations[name], {c: self.env[size] for c, size in columns.items()})


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_kernels(name: str) -> None:
    family, options = VARIANTS[name]
    derivation = derive_definition(family, options)
    text = numpy_source(derivation.kernels, derivation.tensors, {"layer": name})
    assert all(len(line) <= 120 for line in text.splitlines())
    module = types.ModuleType(name)
    exec(compile(text, f"{name}.py", "exec"), module.__dict__)
    rng = np.random.default_rng(sum(map(ord, name)))
    done = 0
    for _ in range(500):
        try:
            case = Case(derivation, rng)
            case.fill()
            results = list(case.interpreted())
        except (ValueError, IndexError, ZeroDivisionError):
            continue
        for kernel, values in results:
            case.run.values = values
            for dtype in (np.float64, np.float32):
                with np.errstate(all="ignore"):
                    case.call(module, kernel, dtype)
        done += 1
        if done == 3:
            return
    pytest.fail(f"only {done} of 3 random configurations fit {name}")
