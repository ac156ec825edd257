"""Claim (d) of section 9: a CPU is fastest with about 1000 elements per work item, a GPU with few."""

from __future__ import annotations

from ..report import verdict as verdicts
from ..report.report import Claim, ClaimTable, Panel, Plot, Series, microseconds
from ..rig.device import Rig
from ..rig.elementwise import Elementwise, powers
from ..rig.generated import GeneratedKernel
from ..rig.timing import race

COUNT, LARGEST, GROUP = 1 << 20, 1 << 17, 16


def measure(rig: Rig, rounds: int, count: int = COUNT) -> list[Claim]:
    """Products, and register tiles of a generated kernel."""
    return [products(rig, rounds, count), tiles(rig, rounds)]


def products(rig: Rig, rounds: int, count: int) -> Claim:
    """The paper's vector multiplication with more and more of it in one work item."""
    numbers = Elementwise(rig, count)
    sizes = powers(1, min(LARGEST, count))
    driver = race({n: numbers.many(n, None).checked(rig) for n in sizes}, rounds)
    single = race({n: numbers.many(n, 1).checked(rig) for n in sizes}, rounds)
    grouped = race({n: numbers.many(n, GROUP).checked(rig) for n in sizes if count // n >= GROUP}, rounds)
    columns = {"the driver's local size": driver, "groups of 1": single, f"groups of {GROUP}": grouped}
    rows = tuple(
        (
            str(n),
            str(count // n),
            *(microseconds(found.median(n)) if n in found.seconds else "" for found in columns.values()),
        )
        for n in sizes
    )
    panel = Panel(
        f"{count} products",
        "elements per work item",
        "time, µs",
        tuple(
            Series(name, tuple(found.seconds), tuple(1e6 * t for t in found.medians().values()))
            for name, found in columns.items()
        ),
        "xy",
        None,
        tuple(sizes[::3]),
    )
    cpu = (
        "For the CPU, the best result was obtained when accumulating a work size of 1000 inside a single "
        "work-item."
    )
    gpu = (
        "Trying to put large chunks of work into every work-item always yield worse performance in the "
        "vector multiplication."
    )
    return Claim(
        "About 1000 elements per work item" if rig.cpu else "Large chunks per work item are slower",
        cpu if rig.cpu else gpu,
        f"c = a b over {count} floats, neighbouring elements per work item. The verdict is on the "
        "driver's local size. Times: µs.",
        verdicts.work_per_item(rig.kind, {n: driver.ratio(n, driver.fastest()) for n in sizes}),
        (ClaimTable(("elements per work item", "work items", *columns), rows),),
        Plot("work_per_item", (panel,)),
    )


def tiles(rig: Rig, rounds: int) -> Claim:
    """Accumulators per work item of a generated kernel: the work per item that its tiles set."""
    generated = GeneratedKernel(rig.selector)
    space, chosen = generated.space, generated.tile_sizes()
    found = race({n: generated.candidate(config).launch for n, config in chosen.items()}, rounds)
    rate = {n: 2e-9 * generated.multiply_adds / t for n, t in found.medians().items()}
    best = found.fastest()
    lanes = space.device.width
    rows = tuple(
        (
            str(n),
            str(n * lanes),
            " ".join(map(str, config.tiles.values())),
            microseconds(found.median(n)),
            f"{rate[n]:.1f}",
            str(found.ratio(n, best)),
        )
        for n, config in chosen.items()
    )
    panel = Panel(
        "Generated 5×5 convolution, 6 to 16 maps, batch 128",
        f"vectors of {lanes} outputs per work item",
        "GFLOP/s",
        (Series("best predicted tile", tuple(rate), tuple(rate.values()), True),),
        "x",
        None,
        tuple(n for n in powers(1, 64)),
    )
    return Claim(
        "Work per item of a generated kernel: register tiles",
        "This is typically testing the native / preferred vectorization width of the device and modifying "
        "the local work size.",
        "phiz's generated kernel of LeNet's second convolution; for each number of accumulators the tile "
        "of least predicted cost.",
        verdicts.register_tiles({n: found.ratio(1, n) for n in chosen}, lanes),
        (
            ClaimTable(
                ("accumulators", "outputs per work item", "tile", "µs", "GFLOP/s", "over the best"), rows
            ),
        ),
        Plot("register_tiles", (panel,)),
    )
