"""The worked cases of the paper's equations, and networks evaluated so that every delta can be held
against them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from phiz.runtime.backend import Backend, Request
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.program.layer import LayerSpec

FILE = Path(__file__).parent.parent / "data" / "cases.json"
BACKENDS = ("numpy", "opencl")
ACTIVATIONS = {"identity": "linear", "tanh": "tanh", "sigmoid": "sigmoid"}


@cache
def cases() -> dict[str, dict[str, Any]]:
    """All cases by id."""
    return {case["id"]: case for case in json.loads(FILE.read_text())["cases"]}


def named(*prefixes: str) -> list[str]:
    """Ids that start with one of the prefixes; at least one."""
    found = [name for name in cases() if name.startswith(prefixes)]
    assert found, prefixes
    return found


def flat(value: Any) -> np.ndarray:
    """Nested lists of any shape, in order, as one vector."""
    if isinstance(value, list | tuple):
        return np.concatenate([flat(entry) for entry in value]) if len(value) else np.zeros(0)
    return np.atleast_1d(np.asarray(value, dtype=np.float64)).ravel()


def agree(found: Any, expected: Any, what: str) -> None:
    """To the tolerance of the cases: 1e-11 max(1, |expected|)."""
    left, right = flat(found if not isinstance(found, np.ndarray) else found.tolist()), flat(expected)
    assert left.shape == right.shape, f"{what}: {left.shape} for {right.shape}"
    wrong = ~(np.abs(left - right) <= 1e-11 * np.maximum(1, np.abs(right)))
    assert not wrong.any(), (
        f"{what}: entry {np.argmax(wrong)} is {left[np.argmax(wrong)]}, expected {right[np.argmax(wrong)]}"
    )


class Worked:
    """A network with given parameters on given samples: everything that one gradient computes.

    The gradient as training takes it, in fused passes; the rest, which is traced kernel by kernel as well,
    one launch per kernel, so that each kernel is built once (``test_opencl_fused`` holds the two ways against
    one another, pass by pass).
    """

    def __init__(
        self,
        layers: Sequence[LayerSpec],
        shape: Any,
        loss: str,
        backend: str,
        parameters: Sequence[Any],
        inputs: Any,
        targets: Any,
    ) -> None:
        def network(kind: str | Backend) -> Network:
            return Network(layers, shape, loss=loss, backend=kind, dtype="float64")

        self.network = network(OpenCLBackend(fuse=False) if backend == "opencl" else backend)
        self.parameters = flat(list(parameters))
        self.inputs = np.stack([flat(sample) for sample in inputs])
        self.targets = np.stack([flat(sample) for sample in targets])
        arguments = (self.parameters, self.inputs, self.targets)
        self.value, self.gradient = network(backend).value_and_gradient(*arguments)
        self.outputs = self.network.forward(self.parameters, self.inputs)
        self.input_gradient = self.network.input_gradient(*arguments)
        self.sample_gradients = self.network.per_sample_gradients(*arguments)

    def slope(self, layer: int, name: str) -> np.ndarray:
        """dE/d parameter, flat; the sum of the per-sample gradients is held against it on the way."""
        piece = next(piece for piece in self.network.slices if (piece.layer, piece.name) == (layer, name))
        part = slice(piece.offset, piece.stop)
        agree(
            self.sample_gradients[:, part].sum(axis=0),
            self.gradient[part],
            f"{name}: sum of the sample gradients",
        )
        return self.gradient[part]

    def delta(self, layer: int, stage: str | None = None) -> np.ndarray:
        """Delta of a layer (or of a stage of it), ``(samples, units)``, as the kernels wrote it."""
        key = f"delta:{layer}" if stage is None else f"{layer}:delta_{stage}"
        executor = self.network.executor(len(self.inputs))
        executor.set_parameters(self.parameters)
        resident = executor.upload(self.inputs, self.targets, None)
        written = {
            step.writes.key: np.array(array)
            for step, array in executor.trace(
                resident, Request(losses=True, gradients="sum", input_gradient=True)
            )
        }
        return written[key].T
