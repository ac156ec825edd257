"""Which tensors of a pass may share memory: a pure function from what each step reads and writes to offsets.

A tensor lives from the first step that writes it to the last step that touches it; two tensors may overlap
where no step has both alive.  Steps run one after the other, so what a step reads and what it writes are
alive together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """The tensors that one step reads and writes, by key."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """All of them."""
        return self.reads + self.writes


@dataclass(frozen=True)
class MemoryLayout:
    """Tensors in one stretch of memory: where each starts, how long it is, and the whole; counted in
    numbers.
    """

    offsets: Mapping[str, int]
    counts: Mapping[str, int]
    total: int

    @classmethod
    def packed(cls, counts: Mapping[str, int], align: int) -> MemoryLayout:
        """One after the other, each at a multiple of ``align``; a tensor without numbers still has room
        for one.
        """
        offsets, end = {}, 0
        for key, count in counts.items():
            offsets[key] = end
            end += _room(count, align)
        return cls(offsets, dict(counts), end)


def lifetimes(uses: Sequence[Use], keep: Collection[str] = ()) -> dict[str, tuple[int, int]]:
    """First and last step of every tensor that a step writes; those of ``keep`` live on after the last
    step.
    """
    found: dict[str, tuple[int, int]] = {}
    for number, use in enumerate(uses):
        for key in use.writes:
            found.setdefault(key, (number, number))
        for key in use.keys:
            if key in found:
                found[key] = found[key][0], number
    return {key: (first, len(uses) if key in keep else last) for key, (first, last) in found.items()}


def plan_memory(
    uses: Sequence[Use], counts: Mapping[str, int], align: int, keep: Collection[str] = ()
) -> MemoryLayout:
    """Offsets for the tensors of ``counts`` that a step writes, in as little memory as a greedy search finds.

    ``counts``: numbers in each tensor; tensors that it does not name lie elsewhere.
    ``align``: what offsets are multiples of.
    ``keep``: tensors that must outlive the last step.

    Each tensor goes into the smallest gap that it fits between those placed before that live at the same
    time.  The largest come first, or the first to live, whichever needs less.
    """
    lives = {key: life for key, life in lifetimes(uses, keep).items() if key in counts}
    rooms = {key: _room(counts[key], align) for key in lives}
    orders = [
        sorted(lives, key=lambda key: (-rooms[key], lives[key], key)),
        sorted(lives, key=lambda key: (lives[key], -rooms[key], key)),
    ]
    offsets, total = min((_placed(order, lives, rooms) for order in orders), key=lambda plan: plan[1])
    return MemoryLayout(offsets, {key: counts[key] for key in offsets}, total)


def _placed(
    order: Sequence[str], lives: Mapping[str, tuple[int, int]], rooms: Mapping[str, int]
) -> tuple[dict[str, int], int]:
    offsets: dict[str, int] = {}
    for key in order:
        taken = sorted((offsets[k], offsets[k] + rooms[k]) for k in offsets if _meet(lives[k], lives[key]))
        offsets[key] = _best_gap(taken, rooms[key])
    return offsets, max((offsets[key] + rooms[key] for key in order), default=0)


def least_memory(
    uses: Sequence[Use], counts: Mapping[str, int], align: int, keep: Collection[str] = ()
) -> int:
    """What no plan can be below: the largest sum of tensors that live at the same step."""
    lives = {key: life for key, life in lifetimes(uses, keep).items() if key in counts}
    return max(
        (
            sum(_room(counts[k], align) for k, (a, b) in lives.items() if a <= n <= b)
            for n in range(len(uses) + 1)
        ),
        default=0,
    )


def _best_gap(taken: Sequence[tuple[int, int]], room: int) -> int:
    """The start of the smallest gap between the stretches ``taken`` (sorted) that holds ``room``; else
    their end.
    """
    best, end = None, 0
    for start, stop in taken:
        gap = start - end
        if gap >= room and (best is None or gap < best[0]):
            best = gap, end
        end = max(end, stop)
    return end if best is None else best[1]


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _room(count: int, align: int) -> int:
    return -(-max(1, count) // align) * align
