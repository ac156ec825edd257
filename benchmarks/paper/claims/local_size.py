"""Claim (a) of section 9: a CPU is insensitive to the local size.

Excepted are groups of one with tiny work; and even global sizes are to be better.
"""

from __future__ import annotations

from ..report import verdict as verdicts
from ..report.report import Claim, ClaimTable, Panel, Plot, Series, Verdict, microseconds
from ..rig.convolution import Convolution
from ..rig.device import Repeat, Rig
from ..rig.elementwise import Elementwise, powers
from ..rig.generated import GeneratedKernel
from ..rig.timing import Race, Ratio, race

COUNT, EACH, MOST_LARGE = 1 << 18, 1024, 64
IMAGE, MAPS, TAPS = 260, 4, 5
TINY, LARGE = "1 product per item", f"{EACH} products per item"
CONVOLUTION, GENERATED = "5×5 convolution", "generated 5×5 convolution"
#: The key of the driver's own choice.
DRIVER = 0


def variants(rig: Rig) -> dict[str, dict[int, Repeat]]:
    """By kernel and work items of a group (DRIVER: the driver's choice), what runs it; all checked."""
    products = Elementwise(rig, COUNT)
    images = Convolution(rig, MAPS, MAPS, IMAGE, IMAGE, TAPS, single=True)
    most, units = int(rig.device.max_work_group_size), int(rig.device.max_compute_units)
    long = Elementwise(rig, max(COUNT, EACH * MOST_LARGE * 2 * units))  # two groups for every unit
    tiny = {n: products.vectors("multiply", group=n).checked(rig) for n in powers(1, min(1024, most))}
    large = {n: long.many(EACH, n).checked(rig) for n in powers(1, min(MOST_LARGE, most))}
    wide = {n: images.each((min(n, 256), max(1, n // 256))).checked(rig) for n in powers(1, min(1024, most))}
    tiny[DRIVER] = products.vectors("multiply", group=None).checked(rig)
    large[DRIVER] = long.many(EACH, None).checked(rig)
    wide[DRIVER] = images.each(None).checked(rig)
    generated = GeneratedKernel(rig.selector)
    tiles: dict[int, Repeat] = {
        n: generated.candidate(schedule).launch for n, schedule in generated.groups().items()
    }
    return {TINY: tiny, LARGE: large, CONVOLUTION: wide, GENERATED: tiles}


def measure(rig: Rig, rounds: int) -> list[Claim]:
    """Three claims: insensitive, groups of one, even sizes."""
    races = {name: race(found, rounds) for name, found in variants(rig).items()}
    return [_insensitive(rig, races), _size_one(races), even_sizes(rig, rounds)]


Ratios = dict[str, dict[int, Ratio]]


def _insensitive(rig: Rig, races: dict[str, Race[int]]) -> Claim:
    times = {name: {n: t for n, t in found.medians().items() if n != DRIVER} for name, found in races.items()}
    best = {name: races[name].fastest(list(times[name])) for name in races}
    ratios = {name: {n: races[name].ratio(n, best[name]) for n in times[name]} for name in races}
    quote = (
        "The CPU is relatively insensitive to local work group sizes. One could let the runtime "
        "determine the local work size."
    )
    gpu = "The local work size can have a significant impact."
    how = (
        f"One product per work item over {COUNT} floats; {EACH} products per work item over as many "
        "floats or more; a naive 5×5 "
        f"convolution of {MAPS} maps of {IMAGE}×{IMAGE}; phiz's generated kernel of LeNet's second "
        "convolution (batch 128). "
        "Times in µs."
    )
    verdict = verdicts.insensitive(rig.kind, ratios)
    driven = {name: found for name, found in races.items() if DRIVER in found.seconds}
    own = ", ".join(f"{name} {found.ratio(DRIVER, best[name])}" for name, found in driven.items())
    verdict = Verdict(verdict.outcome, f"{verdict.sentence} The driver's own choice over the best: {own}.")
    title = "Insensitive to the local size" if rig.cpu else "Sensitive to the local size"
    plot = Plot("local_size", (_panel(ratios),))
    return Claim(title, quote if rig.cpu else gpu, how, verdict, (_table(races, times),), plot)


def _table(races: dict[str, Race[int]], times: dict[str, dict[int, float]]) -> ClaimTable:
    """A line for each local size, and one for the driver's own choice."""
    sizes = sorted(set().union(*times.values()))
    rows = [
        (str(n), *(microseconds(times[name][n]) if n in times[name] else "" for name in races)) for n in sizes
    ]
    driver = (
        microseconds(found.median(DRIVER)) if DRIVER in found.seconds else "" for found in races.values()
    )
    return ClaimTable(("work items of a group", *races), (*rows, ("driver's", *driver)))


def _panel(ratios: Ratios) -> Panel:
    """A line for each kernel."""
    series = [Series(n, tuple(sorted(r)), tuple(r[k].median for k in sorted(r))) for n, r in ratios.items()]
    sizes = sorted(set().union(*ratios.values()))
    return Panel(
        "Time against local size", "work items of a group", "time / best time of the kernel", tuple(series),
        "xy", 1.0, tuple(sizes[::2]),
    )  # fmt: skip


def _size_one(races: dict[str, Race[int]]) -> Claim:
    found = {name: races[name].ratio(1, races[name].fastest()) for name in (TINY, LARGE)}
    return Claim(
        "Groups of one with tiny work are bad",
        "Work group sizes of 1 with very small work loads in every iteration can in some cases be "
        "extremely bad for performance.",
        "The figures of the table above.",
        verdicts.size_one(found[TINY], found[LARGE], EACH),
    )


def even_sizes(rig: Rig, rounds: int, count: int = COUNT) -> Claim:
    """The driver's local size on a power of two (``count``), twice a prime and a prime."""
    prime = next(n for n in range(count - 1, 1, -1) if is_prime(n))
    twice = 2 * next(n for n in range(count // 2 - 1, 1, -1) if is_prime(n))
    whole, padded = f"{count} = 2^{count.bit_length() - 1}", f"{prime}, padded to {count}, groups of 64"
    schemes = {
        whole: Elementwise(rig, count).vectors("multiply", group=None),
        f"{twice} = 2 · {twice // 2}": Elementwise(rig, twice).vectors("multiply", group=None),
        f"{prime} (prime)": Elementwise(rig, prime).vectors("multiply", group=None),
        padded: Elementwise(rig, prime).vectors("multiply", group=64, padded=True),
    }
    found = race({name: scheme.checked(rig) for name, scheme in schemes.items()}, rounds)
    _, even, odd, _ = schemes
    rows = tuple((name, microseconds(found.median(name)), str(found.ratio(name, whole))) for name in schemes)
    return Claim(
        "Even global sizes",
        "To have the global size dividable by 2 will let the runtime to perform better choices.",
        "One product per work item; the driver chooses the local size, but in the last line.",
        verdicts.even_sizes(found.ratio(odd, whole), found.ratio(even, whole), found.ratio(padded, whole)),
        (ClaimTable(("work items", "µs", "over the power of two"), rows),),
    )


def is_prime(number: int) -> bool:
    """Whether no smaller number divides it, by trial."""
    return number > 1 and all(number % n for n in range(2, int(number**0.5) + 1))
