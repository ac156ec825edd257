"""The networks that shipped configurations are measured on: data, in ``shipped/suite.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from ..backend import Backend
from ..network.network import Network
from ..program.layer import LayerSpec
from .problem import named_network


@dataclass(frozen=True)
class SuiteCase:
    """A network, and the numbers of samples of a pass that it is measured at.

    ``micro_batch``: None for the backend's own.
    """

    name: str
    input: tuple[int, ...]
    batches: tuple[int, ...]
    layers: tuple[Mapping[str, Any], ...] = ()
    loss: str = "mse"
    micro_batch: int | None = None

    def network(self, backend: Backend, dtype: str) -> Network:
        """Ready to run; PhizError where it does not fit the kernels."""
        if not self.layers:
            return named_network(self.name, backend, dtype, self.input)
        specs = [LayerSpec.from_dict(record) for record in self.layers]
        return Network(specs, self.input, self.loss, backend, dtype, micro_batch=self.micro_batch)


def suite() -> tuple[SuiteCase, ...]:
    """Every case, in order."""
    text = (resources.files("phiz.runtime.opencl.tuned.shipped") / "suite.toml").read_text(encoding="utf-8")
    return tuple(_case(record) for record in tomllib.loads(text)["work"])


def _case(record: Mapping[str, Any]) -> SuiteCase:
    return SuiteCase(
        record.get("network") or record["name"],
        tuple(record["input"]),
        tuple(record["batches"]),
        tuple(record.get("layers", ())),
        record.get("loss", "mse"),
        record.get("micro_batch"),
    )
