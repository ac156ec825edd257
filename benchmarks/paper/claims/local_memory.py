"""Claim (b) of section 9: local memory pays on a GPU from a filter width on, never on a CPU.

Counts beside times.
"""

from __future__ import annotations

from scipy.stats import spearmanr

from ....runtime.tuner.space.access_count import naive_reads, output_writes
from ....runtime.tuner.space.local_size import accesses
from ..report import verdict as verdicts
from ..report.report import Claim, ClaimTable, Panel, Plot, Series, microseconds
from ..rig.convolution import GROUP, Convolution
from ..rig.device import Rig, round_up
from ..rig.timing import Race, Ratio, race

IMAGE, MAPS = 160, 4
FILTERS = (1, 2, 3, 5, 7, 9, 13, 17, 21)
COUNTED_FILTER = 5
#: Local sizes (x, y) whose counted accesses are set beside their times.
GROUPS = (
    (1, 1),
    (2, 2),
    (4, 4),
    (8, 2),
    (8, 8),
    (16, 4),
    (32, 1),
    (16, 16),
    (64, 1),
    (64, 4),
    (4, 64),
    (32, 32),
)
NAIVE, NAIVE_SAME, TILED, TILED_BEST = (
    "global 32×4",
    "global, Algorithm 4's size",
    "local 32×4",
    "local, Algorithm 4's size",
)


def measure(rig: Rig, rounds: int, image: int = IMAGE, filters: tuple[int, ...] = FILTERS) -> list[Claim]:
    """Two claims: by filter, and by counted accesses."""
    return [by_filter(rig, rounds, image, filters), by_count(rig, rounds, image)]


def by_filter(rig: Rig, rounds: int, image: int, filters: tuple[int, ...]) -> Claim:
    """The best kernel without local memory against the best with it."""
    rows, ratios = [], {}
    times: dict[str, list[float]] = {name: [] for name in (NAIVE, NAIVE_SAME, TILED, TILED_BEST)}
    for taps in filters:
        maps = Convolution(rig, MAPS, MAPS, image, image, taps, single=True)
        best, problem = maps.best_local()
        schemes = {NAIVE: maps.each(GROUP), NAIVE_SAME: maps.each(best.local), TILED: maps.tiled(GROUP),
                   TILED_BEST: maps.tiled(best.local)}  # fmt: skip
        found = race({name: scheme.checked(rig) for name, scheme in schemes.items()}, rounds)
        for name in times:
            times[name].append(found.median(name))
        ratios[taps] = _best_over_best(found)
        naive = naive_reads(problem.outputs, problem.taps, MAPS) + output_writes(problem.outputs, MAPS)
        rows.append(
            (
                f"{taps}×{taps}",
                f"{naive / best.accesses:.1f}",
                "×".join(map(str, best.local)),
                "+".join(map(str, best.padding)),
                *(microseconds(found.median(name)) for name in times),
                str(ratios[taps]),
            )
        )
    header = (
        "filter",
        "counted accesses: global / local",
        "Algorithm 4's size",
        "padding",
        *(f"{n}, µs" for n in times),
    )
    quote = (
        "Local memory when using an Intel CPU, there's no local configuration that will speed up the "
        "convolution kernel."
    )
    gpu = "For convolution, the improvements start to apply for filters greater than 2 for the Nvidia GPU."
    how = (
        f"{MAPS} maps of {image}×{image}, each with its own filter, one work item per output, ragged "
        "edges tested. The local "
        "kernel loads S_l + R inputs per group behind a barrier; its local size is Algorithm 4's, or 32×4."
    )
    panel = Panel(
        f"Convolution of {MAPS} maps of {image}×{image}",
        "filter width",
        "time per launch, ms",
        tuple(Series(name, filters, tuple(1e3 * t for t in values)) for name, values in times.items()),
        "y",
        None,
        filters,
    )
    ratio = Panel(
        "Local memory over global memory alone",
        "filter width",
        "best local time / best global time",
        (Series("ratio", filters, tuple(ratios[taps].median for taps in filters)),),
        "",
        1.0,
        filters,
    )
    table = ClaimTable((*header, "best local / best global"), tuple(rows))
    title = "Local memory does not pay on a CPU" if rig.cpu else "Local memory pays from a filter width on"
    verdict = verdicts.local_memory(rig.kind, ratios)
    return Claim(
        title, quote if rig.cpu else gpu, how, verdict, (table,), Plot("local_memory", (panel, ratio))
    )


def _best_over_best(found: Race[str]) -> Ratio:
    return found.ratio(found.fastest([TILED, TILED_BEST]), found.fastest([NAIVE, NAIVE_SAME]))


def by_count(rig: Rig, rounds: int, image: int) -> Claim:
    """The kernel with local memory at many local sizes: counted accesses beside times."""
    maps = Convolution(rig, MAPS, MAPS, image, image, COUNTED_FILTER, single=True)
    best, problem = maps.best_local()
    allowed = [
        g
        for g in GROUPS
        if g[0] * g[1] <= problem.work_group and problem.tile_bytes(g) <= problem.local_memory
    ]
    groups = list(dict.fromkeys([*allowed, best.local]))
    found = race({group: maps.tiled(group).checked(rig) for group in groups}, rounds)
    counts = {}
    for group in groups:
        x, y = (round_up(o, n) - o for o, n in zip(problem.outputs, group, strict=True))
        counts[group] = accesses(problem, group, (x, y))
    groups.sort(key=lambda group: counts[group])
    times = found.medians()
    correlation = float(spearmanr([counts[g] for g in groups], [times[g] for g in groups]).statistic)
    fastest = found.fastest()
    rows = tuple(
        (
            f"{g[0]}×{g[1]}{' (Algorithm 4)' if g == best.local else ''}",
            str(counts[g]),
            microseconds(times[g]),
            str(found.ratio(g, fastest)),
        )
        for g in groups
    )
    others = [g for g in groups if g != best.local]
    panel = Panel(
        f"{COUNTED_FILTER}×{COUNTED_FILTER} filter, by local size",
        "counted global accesses, millions",
        "time per launch, ms",
        (
            Series(
                "local sizes",
                tuple(counts[g] / 1e6 for g in others),
                tuple(1e3 * times[g] for g in others),
                True,
            ),
            Series("Algorithm 4's", (counts[best.local] / 1e6,), (1e3 * times[best.local],), True),
        ),
        "xy",
    )
    return Claim(
        "Fewer counted accesses are faster (Algorithm 4)",
        "One significant performance improvement can be obtained by explicitly using local memory and "
        "reducing the amount of "
        "global memory fetches.",
        f"The local-memory kernel of {COUNTED_FILTER}×{COUNTED_FILTER} filters at several local sizes, by "
        "counted accesses.",
        verdicts.counted(
            correlation,
            len(groups),
            found.ratio(best.local, fastest),
            counts[1, 1] / counts[best.local],
            found.ratio((1, 1), best.local),
        ),
        (ClaimTable(("local size", "counted accesses", "µs", "over the fastest"), rows),),
        Plot("counted_accesses", (panel,)),
    )
