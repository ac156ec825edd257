"""What ``phiz bench`` measures: networks and layers, the batches, and what each is to reach beside its peers.

A *work* is a case at a batch in a mode:

| mode | one call computes | "placed" leaves the results |
|---|---|---|
| gradient | E and all parameter gradients | on the host |
| predict | the outputs | on the host |
| forward | the outputs | on the device |
| pass | the outputs; from a given delta of them the input's delta and all parameter gradients | on the device |

Peers leave their results where they compute them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...runtime.errors import PhizError
from ...runtime.program.layer import layer
from .cases import CASES, Case

Mode = Literal["gradient", "predict", "forward", "pass"]
DEFINITIONS = Path(__file__).resolve().parents[2] / "tests" / "layers"


@dataclass(frozen=True)
class Goal:
    """phiz is to be at least ``factor`` times as fast as ``peer``.

    ``peer`` is a peer's name, "pytorch" (eager or compiled) or "best".
    """

    peer: str
    factor: float


def fits(form: str, variant: str) -> bool:
    """Whether a form (``cdist``; ``cdist, CUDA graphs``) is the code that ``variant`` names, however it is run; "" names any."""
    return not variant or form == variant or form.startswith(f"{variant}, ")


@dataclass(frozen=True)
class Work:
    """One line of the table.  ``variant``: the form of a peer's code that the goal is about, where it has several."""

    case: Case
    batch: int
    mode: Mode
    title: str
    goals: tuple[Goal, ...] = ()
    variant: str = ""

    @property
    def name(self) -> str:
        """``lenet-gradient-128``: unique among the works."""
        return f"{self.case.name}-{self.mode}-{self.batch}"


def _goals(**factors: float) -> tuple[Goal, ...]:
    return tuple(Goal(peer, factor) for peer, factor in factors.items())


#: Small enough that exp(-beta |y - c|²) is not 0 in float32.
BETA = {"rule": "constant", "value": 2e-3}
CONVOLUTION = Case(
    "convolution", (layer("convolution", maps=64, kernel=3, padding=1),), (64, 32, 32), (32,), loss="mse", outputs=65536,
    micro_batch=32,
)  # fmt: skip
RADIAL_BASIS = Case(
    "radial-basis",
    (layer("radial_basis", maps=256, initial={"c": {"rule": "normal", "scale": 0.5}, "beta": BETA}),),
    784, (256,), loss="mse", outputs=256,
)  # fmt: skip
LOCALLY_CONNECTED = Case(
    "locally-connected", (layer("locally_connected", maps=16, kernel=3),), (16, 16, 16), (64,), loss="mse", outputs=3136,
    micro_batch=64, definition="locally_connected",
)  # fmt: skip
BILINEAR = Case(
    "bilinear", (layer("bilinear", maps=64),), (64, 1), (256,), loss="mse", outputs=64, micro_batch=256, definition="bilinear",
)  # fmt: skip

WORKS: tuple[Work, ...] = (
    Work(CASES["lenet"], 128, "gradient", "LeNet, gradient", _goals(pytorch=4, jax=8, tinygrad=20)),
    Work(CASES["lenet"], 16, "gradient", "LeNet, gradient", _goals(pytorch=4)),
    Work(CASES["lenet"], 1024, "gradient", "LeNet, gradient", _goals(pytorch=4)),
    Work(CASES["dense"], 128, "gradient", "dense 784-300-100-10, gradient", _goals(best=1.2)),
    Work(CONVOLUTION, 32, "forward", "convolution 64→64, 3×3, 32×32: forward", _goals(pytorch=0.9)),
    Work(CONVOLUTION, 32, "pass", "convolution 64→64, 3×3, 32×32: forward, delta, gradient", _goals(pytorch=1.0)),
    Work(RADIAL_BASIS, 256, "gradient", "radial basis 784→256, gradient", _goals(pytorch=2.0), "cdist"),
    Work(CASES["digits"], 1347, "gradient", "digits network, full batch", _goals(pytorch=5)),
    Work(CASES["lenet"], 1, "predict", "LeNet, one sample, forward", _goals(pytorch=1.0)),
    Work(LOCALLY_CONNECTED, 64, "pass", "locally connected 16→16, 3×3, 16×16", _goals(pytorch=1 / 1.5)),
    Work(BILINEAR, 256, "pass", "bilinear 64×64→64", _goals(pytorch=1 / 1.5)),
)

BY_NAME: Mapping[str, Case] = {work.case.name: work.case for work in WORKS}


def choose(cases: Sequence[str] | None, batches: Iterable[int] | None) -> list[Work]:
    """The works of ``cases`` (default: all), at ``batches`` instead of their own where given; PhizError for an unknown case.

    Goals belong to the batch that they were set for.
    """
    for name in cases or ():
        if name not in BY_NAME:
            raise PhizError(f"unknown case {name!r}, known are {', '.join(BY_NAME)}")
    chosen = [work for work in WORKS if not cases or work.case.name in cases]
    if batches is None:
        return chosen
    if any(batch < 1 for batch in batches):
        raise PhizError("expected batches of at least 1 sample")
    own = {work.name: work for work in WORKS}
    moved = [replace(work, batch=batch, goals=(), case=work.case.at(batch)) for work in chosen for batch in batches]
    return [own.get(work.name, work) for work in {work.name: work for work in moved}.values()]
