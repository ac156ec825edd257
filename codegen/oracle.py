"""The definitions of a generated folder as what its kernels are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..derive.interpreter.definition import Computed, DefinitionValues
from ..derive.interpreter.sizes import SizeValues
from ..derive.language.stages import Definition
from .user_file import BUILT_IN, combined, load_definitions


@dataclass(frozen=True)
class DefinitionOracle:
    """The layers of the definition files ``paths``, or the built-in ones.

    Only paths go from process to process; definitions are made where they are asked for.
    """

    paths: tuple[Path, ...] = ()

    def kernel(
        self,
        variant: str,
        kernel: str,
        sizes: Mapping[str, int | Sequence[int]],
        tables: Mapping[str, Mapping[str, Sequence[int]]],
        tensors: Mapping[str, np.ndarray[Any, np.dtype[Any]]],
    ) -> Computed | None:
        """What kernel ``kernel`` of layer ``variant`` is to give; None where it has no equation."""
        definition = _definitions(self.paths, variant)
        if definition is None:
            return None
        values = DefinitionValues(definition, SizeValues(sizes, tables))
        return values.kernel(kernel, tensors) if values.computes(kernel) else None


@lru_cache(maxsize=256)
def _definitions(paths: tuple[Path, ...], variant: str) -> Definition | None:
    definitions = combined(load_definitions(paths))[0] if paths else BUILT_IN
    for family in definitions.families:
        for options in family.variants():
            if family.variant_name(options) == variant:
                return family.define(**options)
    return None
