"""Printed NumPy kernels, run: each once on a few shapes, before anything else trusts them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from random import Random
from typing import Any

import numpy as np

from ...derive.interpreter.draw import drawn_sizes
from ...derive.interpreter.sizes import SizeValues
from ...derive.ir import Column, Integer, IntExpr, IntOp, Kernel, Name, Size, Tensor
from ...derive.language.stages import Definition
from ...derive.symbols.names import of_function
from ..analysis.signature import arguments, relations, sizes
from .axes import PrintError

Array = np.ndarray[Any, np.dtype[Any]]
#: So many random shapes, each with a number of samples of its own.
SHAPES = (1, 3, 2)


@dataclass(frozen=True)
class Connected:
    """The rows of a relation as kernels read them: columns, and the rows with an entry of a column."""

    columns: Mapping[str, Array]

    def __getattr__(self, column: str) -> Array:
        if column.startswith("_") or column not in self.columns:
            raise AttributeError(column)
        return self.columns[column]

    def rows(self, by: str, key: int) -> Array:
        """The numbers of the rows whose column ``by`` is ``key``; all where ``by`` is empty."""
        count = len(next(iter(self.columns.values())))
        return np.flatnonzero(self.columns[by] == key) if by else np.arange(count)


class PrintedKernels:
    """A printed module, and its functions called on ``(units, samples)`` arrays.

    ``tensors``: those of the kernels.  Ragged tensors are cut into the lists that kernels take.
    """

    def __init__(
        self, text: str, tensors: Mapping[str, Tensor], sizes_: SizeValues, samples: int, dtype: str
    ) -> None:
        self.tensors, self.sizes, self.samples, self.dtype = tensors, sizes_, samples, np.dtype(dtype)
        self.functions: dict[str, Any] = {}
        exec(compile(text, "<printed>", "exec"), self.functions)

    def shapes(self, tensor: Tensor) -> list[tuple[int, ...]]:
        """The shape of every entry of a ragged tensor, or the one shape of another one; without samples."""
        if not tensor.ragged:
            return [tuple(self._integer(e, 0) for e in tensor.shape)]
        count = self._integer(tensor.shape[0], 0)
        return [tuple(self._integer(e, n) for e in tensor.shape[1:]) for n in range(count)]

    def _integer(self, e: IntExpr, entry: int) -> int:
        """An extent, of entry ``entry`` of the first axis."""
        match e:
            case Integer(value=value):
                return value
            case Name():
                return entry
            case Size(name=name, index=None):
                return int(self.sizes.sizes[name])  # type: ignore[arg-type]
            case Size(name=name, index=index) if index is not None:
                return int(self.sizes.sizes[name][self._integer(index, entry)])  # type: ignore[index]
            case Column(relation=relation, column=column, row=row):
                return int(self.sizes.relations[relation][column][self._integer(row, entry)])
            case IntOp(op=op, args=args):
                found = [self._integer(a, entry) for a in args]
                return {"add": sum, "mul": prod, "min": min, "max": max}[op](found)  # type: ignore[operator]
        raise TypeError(e)

    def units(self, tensor: Tensor) -> int:
        """The entries of a tensor, without samples."""
        return sum(prod(shape) for shape in self.shapes(tensor))

    def _shaped(self, tensor: Tensor, flat: Array) -> Any:
        tail = flat.shape[1:]
        shapes = self.shapes(tensor)
        if not tensor.ragged:
            return flat.reshape(shapes[0] + tail)
        ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
        return [part.reshape(s + tail) for part, s in zip(np.split(flat, ends), shapes, strict=True)]

    def run(self, kernel: Kernel, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """What the kernel returns, by tensor, as ``(units, samples)`` or ``(units,)``.

        ``arrays["dphi"]``: phi' of the layer below.  Raises what the printed text raises, and TypeError where
        shape or dtype are not those that the tensors have.
        """
        given = [self._shaped(self.tensors[name], arrays[name]) for name in arguments(kernel, self.tensors)]
        if kernel.finish == "dphi":
            given.append(self._shaped(kernel.output, arrays["dphi"]))
        keywords: dict[str, Any] = {name: self._size(name) for name in sizes(kernel, self.tensors)}
        for name in relations(kernel):
            columns = self.sizes.relations[name].items()
            keywords[name] = Connected({c: np.array(values, np.int64) for c, values in columns})
        function = self.functions[kernel.name]
        extra = {"samples": self.samples, "dtype": self.dtype}
        keywords |= {n: extra[n] for n in extra if n in inspect.signature(function).parameters}
        result = function(*given, **keywords)
        outputs = [kernel.output] + ([kernel.position] if kernel.position else [])
        results = result if kernel.position else (result,)
        return {t.name: self._flat(t, r) for t, r in zip(outputs, results, strict=True)}

    def _size(self, name: str) -> Any:
        size = self.sizes.sizes[name]
        return np.array(size, np.int64) if isinstance(size, Sequence) else size

    def _flat(self, tensor: Tensor, result: Any) -> Array:
        tail = (self.samples,) if tensor.samples else ()
        parts = list(result) if tensor.ragged else [result]
        wanted = [shape + tail for shape in self.shapes(tensor)]
        found = [getattr(part, "shape", None) for part in parts]
        if found != wanted:
            raise TypeError(f"{tensor.name} has the shape {found}, not {wanted}")
        if any(part.dtype != self.dtype for part in parts):
            raise TypeError(f"{tensor.name} is {parts[0].dtype}, not {self.dtype}")
        return (
            np.concatenate([p.reshape(-1, *tail) for p in parts])
            if parts
            else np.zeros((0, *tail), self.dtype)
        )


def try_kernels(
    text: str,
    kernels: Sequence[Kernel],
    tensors: Mapping[str, Tensor],
    shapes: Sequence[SizeValues],
    where: str,
) -> None:
    """Run every kernel once on random numbers of every one of ``shapes``.

    Raises PrintError, naming the kernel and the sizes, where one raises or returns another shape or dtype.
    """
    generator = np.random.default_rng(0)
    for samples, sizes_ in zip(SHAPES, shapes, strict=False):
        printed = PrintedKernels(text, tensors, sizes_, samples, "float32")
        arrays = _Arrays(printed, generator)
        for kernel in kernels:
            if kernel.finish == "dphi":
                arrays["dphi"] = arrays[kernel.target]
            try:
                with np.errstate(all="ignore"):
                    arrays.update(printed.run(kernel, arrays))
            except Exception as error:
                given = ", ".join(f"{name}={size}" for name, size in sizes_.sizes.items())
                raise PrintError(
                    f"{where}: the NumPy kernel {kernel.name} fails with {given}, {samples} samples: "
                    f"{type(error).__name__}: {error}"
                ) from error


def try_activations(text: str, activations: Sequence[str]) -> None:
    """Run phi and phi' of every activation once in every dtype; PrintError where one fails, with its name."""
    functions: dict[str, Any] = {}
    exec(compile(text, "<printed>", "exec"), functions)
    for name in activations:
        for dtype in ("float32", "float64"):
            given = np.linspace(-3, 3, 14).reshape(7, 2).astype(dtype)
            try:
                with np.errstate(all="ignore"):
                    slopes = (
                        functions[f"phi_{of_function(name)}"](given),
                        functions[f"dphi_{of_function(name)}"](given),
                    )
            except Exception as error:
                raise PrintError(f"activation {name}: its NumPy text fails: {error}") from error
            if any((found.shape, found.dtype) != (given.shape, given.dtype) for found in slopes):
                raise PrintError(
                    f"activation {name}: its NumPy text gives another shape or dtype than {dtype}"
                )


class _Arrays(dict[str, Array]):
    """Random float32 arrays, made when they are asked for."""

    def __init__(self, printed: PrintedKernels, generator: np.random.Generator) -> None:
        super().__init__()
        self.printed, self.generator = printed, generator

    def __missing__(self, name: str) -> Array:
        tensor = self.printed.tensors[name]
        shape = (self.printed.units(tensor), *((self.printed.samples,) if tensor.samples else ()))
        self[name] = self.generator.uniform(0.1, 1.0, shape).astype(np.float32)
        return self[name]


def tried_shapes(definition: Definition) -> Iterator[SizeValues]:
    """A few random shapes of a layer, always the same."""
    random = Random(0)
    for _ in SHAPES:
        sizes_ = drawn_sizes(definition, random)
        if sizes_ is not None:
            yield sizes_
