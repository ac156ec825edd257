"""What ``phiz bench`` measures: networks and layers, the batches, and what each is to reach beside its peers.

A *case* is a model at a batch in a mode:

| mode | one call computes | "placed" leaves the results |
|---|---|---|
| gradient | E and all parameter gradients | on the host |
| predict | the outputs | on the host |
| forward | the outputs | on the device |
| pass | the outputs; from a given delta of them the input's delta and all parameter gradients | on the device |

Peers leave their results where they compute them.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...runtime.errors import PhizError
from ...runtime.program.layer import layer
from .models import MODELS, Model

Mode = Literal["gradient", "predict", "forward", "pass"]
DEFINITIONS = Path(__file__).resolve().parents[2] / "tests" / "layers"


@dataclass(frozen=True)
class Goal:
    """How many times as fast as a peer phiz is to be.

    peer: its name; "pytorch" for eager or compiled, whichever is faster; "best" for the fastest of all.
    factor: the time of the peer over phiz's, at least.
    """

    peer: str
    factor: float


def fits(form: str, variant: str) -> bool:
    """Whether a form is the code that ``variant`` names, however it is run.

    Forms are such as ``cdist``, or ``cdist, CUDA graphs``.  The variant "" names any of them.
    """
    return not variant or form == variant or form.startswith(f"{variant}, ")


@dataclass(frozen=True)
class Case:
    """One line of the table: a model at a batch in a mode.

    title: what the table calls it.
    goals: what phiz is to reach beside its peers.
    variant: the form of a peer's code that the goals are about, where it has several.
    """

    model: Model
    batch: int
    mode: Mode
    title: str
    goals: tuple[Goal, ...] = ()
    variant: str = ""

    @property
    def name(self) -> str:
        """``lenet-gradient-128``: unique among the cases."""
        return f"{self.model.name}-{self.mode}-{self.batch}"


def _goals(**factors: float) -> tuple[Goal, ...]:
    return tuple(Goal(peer, factor) for peer, factor in factors.items())


#: Small enough that exp(-beta |y - c|²) is not 0 in float32.
BETA = {"rule": "constant", "value": 2e-3}
CONVOLUTION = Model(
    "convolution",
    (layer("convolution", maps=64, kernel=3, padding=1),),
    (64, 32, 32),
    (32,),
    loss="mse",
    outputs=65536,
    micro_batch=32,
)
RADIAL_BASIS = Model(
    "radial-basis",
    (layer("radial_basis", maps=256, initial={"c": {"rule": "normal", "scale": 0.5}, "beta": BETA}),),
    784, (256,), loss="mse", outputs=256,
)  # fmt: skip
LOCALLY_CONNECTED = Model(
    "locally-connected",
    (layer("locally_connected", maps=16, kernel=3),),
    (16, 16, 16),
    (64,),
    loss="mse",
    outputs=3136,
    micro_batch=64,
    definition="locally_connected",
)
BILINEAR = Model(
    "bilinear",
    (layer("bilinear", maps=64),),
    (64, 1),
    (256,),
    loss="mse",
    outputs=64,
    micro_batch=256,
    definition="bilinear",
)

CASES: tuple[Case, ...] = (
    Case(MODELS["lenet"], 128, "gradient", "LeNet, gradient", _goals(pytorch=4, jax=8, tinygrad=20)),
    Case(MODELS["lenet"], 16, "gradient", "LeNet, gradient", _goals(pytorch=4)),
    Case(MODELS["lenet"], 1024, "gradient", "LeNet, gradient", _goals(pytorch=4)),
    Case(MODELS["dense"], 128, "gradient", "dense 784-300-100-10, gradient", _goals(best=1.2)),
    Case(CONVOLUTION, 32, "forward", "convolution 64→64, 3×3, 32×32: forward", _goals(pytorch=0.9)),
    Case(
        CONVOLUTION,
        32,
        "pass",
        "convolution 64→64, 3×3, 32×32: forward, delta, gradient",
        _goals(pytorch=1.0),
    ),
    Case(RADIAL_BASIS, 256, "gradient", "radial basis 784→256, gradient", _goals(pytorch=2.0), "cdist"),
    Case(MODELS["digits"], 1347, "gradient", "digits network, full batch", _goals(pytorch=5)),
    Case(MODELS["lenet"], 1, "predict", "LeNet, one sample, forward", _goals(pytorch=1.0)),
    Case(LOCALLY_CONNECTED, 64, "pass", "locally connected 16→16, 3×3, 16×16", _goals(pytorch=1 / 1.5)),
    Case(BILINEAR, 256, "pass", "bilinear 64×64→64", _goals(pytorch=1 / 1.5)),
)

BY_NAME: Mapping[str, Model] = {case.model.name: case.model for case in CASES}


def choose(names: Sequence[str] | None, batches: Iterable[int] | None) -> list[Case]:
    """The cases of the models ``names`` (default: all), at ``batches`` in place of their own where given.

    Goals belong to the batch that they were set for.  PhizError for an unknown name.
    """
    for name in names or ():
        if name not in BY_NAME:
            raise PhizError(f"unknown case {name!r}, known are {', '.join(BY_NAME)}")
    chosen = [case for case in CASES if not names or case.model.name in names]
    if batches is None:
        return chosen
    if any(batch < 1 for batch in batches):
        raise PhizError("expected batches of at least 1 sample")
    own = {case.name: case for case in CASES}
    moved = [
        replace(case, batch=batch, goals=(), model=case.model.at(batch))
        for case in chosen
        for batch in batches
    ]
    return [own.get(case.name, case) for case in {case.name: case for case in moved}.values()]
