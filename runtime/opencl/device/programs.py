"""Built programs, from files of OpenCL kernels and the sizes of layers.

This is where macros, index tables and the cache of programs are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyopencl as cl

from ...errors import DeviceError, ManifestError
from ...manifest.expressions import expression
from ...program.program import Unit
from .device import context, handle_of

REAL = {"float32": "float", "float64": "double"}

#: A kernel in the text of a unit.
KERNEL = re.compile(r"^WIDE __kernel void (\w+)\(.*?^\}\n", re.MULTILINE | re.DOTALL)

IntArray = np.ndarray[Any, np.dtype[np.int32]]


class Binding:
    """The macros of one unit at one dtype and vector width, and the index tables that its kernels read.

    ``chosen``: the macros that configurations choose, tiles among them.
    """

    def __init__(self, unit: Unit, dtype: str, width: int, chosen: Mapping[str, int | str]) -> None:
        self.unit, self.width, self.chosen = unit, width, dict(chosen)
        offsets, self.index = _index(unit)
        # Sizes are macros with a prefix: short names such as p0 occur as parameters in the compiler's own
        # headers.
        scalars = {
            f"SIZE_{name}": value for name, value in unit.sizes.items() if not isinstance(value, np.ndarray)
        }
        self.values: dict[str, Any] = {
            **scalars,
            **offsets,
            **self.chosen,
            "REAL": REAL[dtype],
            "V": width,
            # Whole names: PoCL's tanh is itself a macro, so pasting phi_ and tanh would paste what it expands
            # to.
            "PHI": f"phi_{unit.activation}",
            "DPHI": f"dphi_{unit.lower}",
            "STORE_Z": int(unit.store_z),
            "BLOCKED": 0,
        }
        self.environment = {**unit.sizes, **self.chosen, "V": width}

    def options(self) -> list[str]:
        """``-D`` for every macro that the file requires."""
        missing = [name for name in self.unit.macros if name not in self.values]
        if missing:
            raise ManifestError(
                f"{self.unit.file}.cl requires the unknown macro {missing[0]}; run: phiz generate"
            )
        return [
            *precision_options(self.values["REAL"]),
            *(f"-D{name}={self.values[name]}" for name in self.unit.macros),
        ]

    def global_size(self, sizes: tuple[str, ...], vectors: int) -> tuple[int, ...]:
        """The global size of a kernel for ``vectors`` sample vectors in use."""
        environment = {**self.environment, "vectors": vectors}
        return tuple(expression(size)(environment) for size in sizes)


def _index(unit: Unit) -> tuple[dict[str, int], IntArray]:
    """All tables one after the other, and the macro with the offset of each."""
    offsets: dict[str, int] = {}
    parts: list[np.ndarray[Any, Any]] = []
    length = 0
    for macro, values in _tables(unit):
        if macro in unit.macros:
            offsets[macro] = length
            parts.append(values)
            length += len(values)
    return offsets, np.concatenate([*parts, [0]]).astype(np.int32)


def _tables(unit: Unit) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for name, value in unit.sizes.items():
        if isinstance(value, np.ndarray):
            yield f"{name}_AT", value
    for name, table in unit.connection_tables.items():
        for column in table.columns:
            pointers, rows = table.group(column)
            yield f"{name}_by_{column}_AT", pointers
            yield f"{name}_by_{column}_rows_AT", rows


def build(binding: Binding, device: Any, kernel: str) -> cl.Program:
    """The program of a unit that has ``kernel``, built once per process for the same text, macros and device.

    Gradients of single samples are seldom asked for and long to compile: they have a program of their own.
    Raises DeviceError with the compiler's first error line.
    """
    file = binding.unit.path
    source = binding.unit.source
    apart = {info.name for info in binding.unit.kernels if info.role == "sample_gradient"}
    source = KERNEL.sub(lambda found: found[0] if (found[1] in apart) is (kernel in apart) else "", source)
    for macro in sorted({"PHI", "DPHI"} & set(binding.unit.macros)):
        if not re.search(rf"\b{binding.values[macro]}\b", source):
            raise ManifestError(
                f"{binding.unit.folder.path / file}: knows no {binding.values[macro]}; generate this "
                "layer in one run with that activation: phiz generate"
            )
    return compiled(source, binding.options(), device, f"{binding.unit.folder.path / file}:")


def precision_options(real: str) -> list[str]:
    """Literals carry no suffix, so that the same text serves both precisions: ``real`` is float or double."""
    return ["-cl-single-precision-constant"] if real == "float" else []


def compiled(source: str, options: Sequence[str], device: Any, what: str) -> cl.Program:
    """``source`` built once per process; DeviceError that says ``what`` does not build, with the
    compiler's first error line.
    """
    try:
        return _build(source, tuple(options), handle_of(device))
    except cl.Error as error:
        lines = [line.strip() for line in str(error).splitlines() if "error" in line.lower()]
        detail = next((line for line in lines if "build" not in line.lower()), str(error).splitlines()[0])
        raise DeviceError(f"{what} does not build on {device.name.strip()}: {detail}") from None


@lru_cache(maxsize=1024)
def _build(source: str, options: tuple[str, ...], device: Any) -> cl.Program:
    return cl.Program(context(device), source).build(options=list(options))


def digest(binding: Binding) -> str:
    """What a built kernel depends on besides the device: its text and its macros."""
    return hashlib.sha256("\n".join([binding.unit.source, *binding.options()]).encode()).hexdigest()
