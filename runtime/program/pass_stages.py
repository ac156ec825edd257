"""Stages: steps of a pass that need no wait for one another.

A kernel that writes samples reads, of every tensor with samples, only the sample that it writes.  So a block
of samples can go through all such kernels at once, whatever the other blocks do; this is a stage of kind
"samples".  A kernel that sums over the samples must wait until all blocks have come so far; such kernels,
which do not read one another, are a stage of kind "sums".  A stage of kind "spread" has a single kernel that
writes samples, and whose work items are spread over all blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .program import Step

Kind = Literal["samples", "spread", "sums"]


@dataclass(frozen=True)
class PassStage:
    """Steps in order, all of one kind."""

    kind: Kind
    steps: tuple[Step, ...]


def pass_stages(steps: Sequence[Step]) -> list[PassStage]:
    """The steps in as few stages as their data allow; within a stage they keep their order.

    Even levels hold steps that write samples, odd ones those that sum them.  A step goes to the first level
    of its kind that is not before any of the steps whose results it reads; one that sums cannot share the
    level of a sum that it reads.
    """
    level_of: dict[str, int] = {}
    found: dict[int, list[Step]] = {}
    for step in steps:
        sums = not step.writes.samples
        level = max((level_of[key] for key in step.use.reads if key in level_of), default=0)
        if sums and any(level_of.get(key) == level for key in step.use.reads) and level % 2:
            level += 1
        level += level % 2 != sums
        found.setdefault(level, []).append(step)
        level_of.update(dict.fromkeys(step.use.writes, level))
    return [PassStage("sums" if level % 2 else "samples", tuple(found[level])) for level in sorted(found)]
