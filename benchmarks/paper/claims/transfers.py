"""Claim (f) of section 9: on the host device map and unmap buffers instead of copying them (ledger
I9-HOST, X50).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyopencl as cl

from ..report import verdict as verdicts
from ..report.report import Claim, ClaimTable, Panel, Plot, Series, microseconds
from ..rig.convolution import WrongError
from ..rig.device import Array, Repeat, Rig
from ..rig.timing import Race, race

BYTES = tuple(1 << n for n in (12, 14, 16, 18, 20, 22, 24))
COPY, MAP = "copy", "map"
FLOAT: Any = np.float32
READ, WRITE, TOUCHED = "bring to the host", "send to the device", "bring to the host and add up"


class Transfer:
    """A buffer of ``count`` floats and a host array, and the ways between them."""

    def __init__(self, rig: Rig, count: int) -> None:
        self.rig, self.count = rig, count
        self.source = np.random.default_rng(count).normal(size=count).astype(np.float32)
        self.host = np.empty(count, np.float32)
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.ALLOC_HOST_PTR
        self.buffer = cl.Buffer(rig.context, flags, self.source.nbytes)
        self.total = 0.0

    def mapped(self, flags: Any) -> Array:
        """The buffer as a host array; ``unmap`` gives it back."""
        values, _ = cl.enqueue_map_buffer(
            self.rig.queue, self.buffer, flags, 0, (self.count,), FLOAT, is_blocking=True
        )
        return values

    def unmap(self, values: Array) -> None:
        """clEnqueueUnmapMemObject; the paper's clEnqueueUnmapBuffer does not exist (X50)."""
        values.base.release(self.rig.queue)  # type: ignore[union-attr]
        self.rig.queue.finish()

    def write(self, way: str) -> None:
        """Bring ``source`` into the buffer."""
        if way == COPY:
            cl.enqueue_copy(self.rig.queue, self.buffer, self.source)
            return
        values = self.mapped(cl.map_flags.WRITE_INVALIDATE_REGION)
        values[:] = self.source
        self.unmap(values)

    def read(self, way: str, touch: bool) -> None:
        """Make the buffer readable on the host; ``touch``: add it up there."""
        if way == COPY:
            cl.enqueue_copy(self.rig.queue, self.host, self.buffer)
            self.total = float(self.host.sum()) if touch else float(self.host[-1])
            return
        values = self.mapped(cl.map_flags.READ)
        self.total = float(values.sum()) if touch else float(values[-1])
        self.unmap(values)

    def runs(self, what: str) -> dict[str, Repeat]:
        """By way, what does it so many times."""

        def repeat(way: str) -> Repeat:
            def run(count: int) -> None:
                for _ in range(count):
                    if what == WRITE:
                        self.write(way)
                    else:
                        self.read(way, what == TOUCHED)

            return run

        return {way: repeat(way) for way in (COPY, MAP)}

    def check(self) -> None:
        """Both ways bring the same numbers; WrongError."""
        for written in (COPY, MAP):
            self.source = -self.source
            self.write(written)
            for way in (COPY, MAP):
                self.read(way, True)
                if self.total != float(self.source.sum()):
                    raise WrongError(
                        f"written by {written} and read by {way}: the sum is {self.total}, not "
                        f"{self.source.sum()}"
                    )


def measure(rig: Rig, rounds: int, sizes: tuple[int, ...] = BYTES) -> list[Claim]:
    """One claim over buffer sizes in bytes."""
    races: dict[str, dict[int, Race[str]]] = {what: {} for what in (READ, TOUCHED, WRITE)}
    for size in sizes:
        transfer = Transfer(rig, size // 4)
        transfer.check()
        for what, found in races.items():
            found[size] = race(transfer.runs(what), rounds)
    header = (
        "bytes",
        *(f"{what}: {text}" for what in races for text in ("copy, µs", "map, µs", "map / copy")),
    )
    rows = []
    for size in sizes:
        cells = []
        for found in races.values():
            one = found[size]
            cells += [
                microseconds(one.median(COPY)),
                microseconds(one.median(MAP)),
                str(one.ratio(MAP, COPY)),
            ]
        rows.append((f"{size // 1024} KB", *cells))
    panels = tuple(
        Panel(
            what[0].upper() + what[1:],
            "buffer, bytes",
            "time, µs",
            tuple(
                Series(way, sizes, tuple(1e6 * found[n].median(way) for n in sizes)) for way in (COPY, MAP)
            ),
            "xy",
            None,
            sizes,
        )
        for what, found in races.items()
    )
    return [
        Claim(
            "Map instead of copying on the host",
            "If you run OpenCL on the host (the CPU), then use calls to clEnqueueMapBuffer and "
            "clEnqueueUnmapBuffer … This will "
            "avoid unnecessary copying within the framework.",
            "Blocking calls into arrays that exist already; written data lie in a host array at first. "
            "The second function is "
            "really called clEnqueueUnmapMemObject.",
            verdicts.mapping(
                {what: {n: r.ratio(MAP, COPY) for n, r in found.items()} for what, found in races.items()}
            ),
            (ClaimTable(header, tuple(rows)),),
            Plot("transfers", panels, 3),
        )
    ]
