"""Packing: steps that copy parameters into the order in which the lanes of a kernel read them.

A kernel whose lanes go along an axis of a parameter reads V entries of that axis at a time.  Where they do
not lie side by side, a pass copies the parameter once, ahead of the steps that read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ...manifest.expressions import expression
from ...manifest.records import SAMPLE_OUTER, KernelInfo, LaunchInfo
from ...program.program import PACK, Argument, Step
from ...program.sizes import Extent
from ..plan.plan import Plan


def with_packing(steps: Iterable[Step], plan: Plan) -> tuple[Step, ...]:
    """``steps``, each after those that pack what it reads; equal ones are taken once."""
    return tuple(_with_packing(steps, plan))


def _with_packing(steps: Iterable[Step], plan: Plan) -> Iterator[Step]:
    done: set[str] = set()
    for step in steps:
        found = step.kernel.packed
        if found is None or not plan.kernels[step.unit, step.kernel.name].macros[found.macro]:
            yield step
            continue
        reads = list(step.reads)
        for name, extents in found.tensors.items():
            number = step.kernel.arguments.index(name)
            outer, extent, inner = (int(expression(e)(plan.units[step.unit].sizes)) for e in extents)
            pack = _pack(step.unit, reads[number], (outer, extent, inner), plan.along)
            reads[number] = pack.writes
            if pack.writes.key not in done:
                done.add(pack.writes.key)
                yield pack
        yield replace(step, reads=tuple(reads))


def _pack(unit: int, source: Argument, extents: tuple[int, int, int], lanes: int) -> Step:
    """The step that packs ``source`` of ``extents`` (outside the index of the lanes, its own, inside)."""
    outer, extent, inner = extents
    items = -(-extent // lanes) * outer
    launch = LaunchInfo({}, (), ("1", str(items), "1"), False)
    count = items * inner * lanes
    kernel = KernelInfo(
        name=PACK,
        role=PACK,
        target=source.key,
        arguments=(source.key,),
        output=source.key,
        position=None,
        finish="",
        sizes=(),
        relations=(),
        launches={SAMPLE_OUTER: launch},
        layout=SAMPLE_OUTER,
    )
    key = f"{source.key} packed {outer}x{extent}x{inner}"
    written = Argument(key, Extent((count,), None, count), samples=False)
    return Step(unit, kernel, (source,), written, numbers=extents)
