"""Draws networks and batches at random; a seed and a number always give the same draw.

| kind | network |
|---|---|
| dense | 1 to 30 dense layers of 1 to 2048 units |
| convolution | 1 to 30 layers of rank 1 to 3: convolutions, pooling; dense layers at the end |
| single | one convolution, dense, radial basis or softmax layer |
| radial basis | radial basis functions, alone or below other layers |
| user | a layer of ``tests/layers`` among others |

What is drawn keeps to ``MOST_FLOPS`` and ``MOST_BYTES``: a draw beyond them is drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...runtime.backend import VALUE_AND_GRADIENT, calls
from ...runtime.errors import PhizError, ShapeError
from ...runtime.manifest.expressions import expression
from ...runtime.manifest.records import Manifest
from ...runtime.network.connect import check_loss_range, connect
from ...runtime.program.layer import LayerSpec
from ...runtime.program.program import Program, Step, Unit
from ...runtime.program.shape import Shape
from ..cases.cases import Case, Mode
from ..cases.models import Model
from .networks import KINDS, build

#: Multiply-adds count twice; what a value and its gradient keep: activations, deltas, parameters, gradients.
MOST_FLOPS, MOST_BYTES, ITEMSIZE = 50e9, 2e9, 4
#: How often a network is drawn, and how often a batch for it, before one must keep to the bounds.
NETWORKS, BATCHES = 400, 6
#: Batches that people use.
USUAL = (1, 2, 4, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 500, 512, 1000)
MOST_SAMPLES = 1000


@dataclass(frozen=True)
class Draw:
    """A network and a batch.

    seed, number: what they follow from.
    flops: operations of a value and its gradient.
    bytes: what such a pass keeps.
    outputs: units of the last layer.
    """

    seed: int
    number: int
    kind: str
    layers: tuple[LayerSpec, ...]
    input_shape: tuple[int, ...]
    loss: str
    batch: int
    flops: float
    bytes: int
    parameters: int
    outputs: int

    def case(self, mode: Mode) -> Case:
        """The case that peers compute."""
        model = Model(
            f"draw-{self.seed}-{self.number}", self.layers, self.input_shape, (self.batch,),
            outputs=self.outputs, loss=self.loss,
        )  # fmt: skip
        return Case(model, self.batch, mode, self.title)

    @property
    def title(self) -> str:
        """The network in one line: the shape of a sample, and layer after layer; equal ones are counted."""
        found: list[list[Any]] = []
        for spec in self.layers:
            words = _words(spec)
            if found and found[-1][0] == words:
                found[-1][1] += 1
            else:
                found.append([words, 1])
        layers = ", ".join(words if count == 1 else f"{count} × ({words})" for words, count in found)
        return f"{'×'.join(map(str, self.input_shape))}: {layers}"

    def record(self) -> dict[str, Any]:
        """What JSON can hold; enough to build the network again."""
        return {
            "number": self.number,
            "kind": self.kind,
            "title": self.title,
            "batch": self.batch,
            "input_shape": list(self.input_shape),
            "layers": [spec.to_dict() for spec in self.layers],
            "loss": self.loss,
            "flops": self.flops,
            "bytes": self.bytes,
            "parameters": self.parameters,
        }


def _words(spec: LayerSpec) -> str:
    shown = spec.keywords.items()
    sizes = [f"{key} {value}" for key, value in shown if key != "maps" and value not in (0, "squared")]
    maps = [str(spec.keywords["maps"])] if "maps" in spec.keywords else []
    phi = [] if spec.activation == "linear" else [spec.activation]
    return " ".join([spec.family.replace("_", " "), *maps, *sizes, *phi])


def kind(seed: int, number: int) -> str:
    """The kind of draw ``number``; it is drawn first, so that it is known without a manifest."""
    return _kind(np.random.default_rng([seed, number]))


def _kind(random: np.random.Generator) -> str:
    return str(random.choice(list(KINDS), p=list(KINDS.values())))


def draw(seed: int, number: int, manifest: Manifest) -> Draw:
    """Draw ``number`` of ``seed``; ``manifest`` knows the users' layers where its kind is "user".

    PhizError where nothing that keeps to the bounds is found.
    """
    random = np.random.default_rng([seed, number])
    chosen = _kind(random)
    for _ in range(NETWORKS):
        shape, layers = build(chosen, random, manifest)
        loss = "ce" if layers and layers[-1].family == "softmax" else "mse"
        batches = [batch(random) for _ in range(BATCHES)]
        found = _within(Draw(seed, number, chosen, layers, shape, loss, 0, 0, 0, 0, 0), batches, manifest)
        if found is not None:
            return found
    raise PhizError(f"draw {number} of seed {seed}: no network of kind {chosen} keeps to the bounds")


def batch(random: np.random.Generator) -> int:
    """1 to ``MOST_SAMPLES`` samples: a usual number in one half of all cases, any in the other."""
    if random.random() < 0.5:
        return int(random.choice(USUAL))
    return int(np.exp(random.uniform(0.0, np.log(MOST_SAMPLES + 1))))


def _within(drawn: Draw, batches: Sequence[int], manifest: Manifest) -> Draw | None:
    """The draw at the first of ``batches`` that keeps to the bounds; None without parameters or such one."""
    try:
        layers = connect(manifest, drawn.layers, Shape.of(drawn.input_shape))
    except ShapeError:
        return None
    if not layers:
        return None
    loss = manifest.loss(drawn.loss)
    program = Program(layers, loss)
    if program.head is None:
        check_loss_range(layers[-1], loss)
    each = sum(flops(step, program.units[step.unit]) for step in calls(program, VALUE_AND_GRADIENT))
    for samples in batches:
        need = ITEMSIZE * (samples * program.units_per_sample + 2 * program.parameter_count)
        if samples * each <= MOST_FLOPS and need <= MOST_BYTES and program.parameter_count:
            return replace(
                drawn, batch=samples, flops=float(samples * each), bytes=need,
                parameters=program.parameter_count, outputs=layers[-1].output.units,
            )  # fmt: skip
    return None


def flops(step: Step, unit: Unit) -> int:
    """Operations of one kernel for one sample, two for each step of its reduction."""
    work: Mapping[str, Any] = unit.sizes
    return 2 * step.writes.extent.units * max(1, int(expression(step.kernel.work)(work)))
