"""Claim (e) of section 9: one launch over all maps against more of them (Figures 2 to 4)."""

from __future__ import annotations

from ..report import verdict as verdicts
from ..report.report import Claim, ClaimTable, Panel, Plot, Series, microseconds
from ..rig.convolution import GROUP, Convolution
from ..rig.device import Rig
from ..rig.timing import Race, race

SIZES = (16, 32, 64, 128, 256, 512, 1024)
INPUTS, OUTPUTS, TAPS = 4, 8, 5
ONE, BY_MAP = "one launch", "a launch per map"
ADDED, APART = "a launch per pair, added up", "a launch per pair, not summed (the paper's)"
MANY = {"full": (BY_MAP, ADDED, APART), "single": (BY_MAP,)}


def measure(rig: Rig, rounds: int, sizes: tuple[int, ...] = SIZES) -> list[Claim]:
    """One claim, with the curves of both connections, and what a launch costs."""
    races = {
        "full": {n: full(rig, rounds, n) for n in sizes},
        "single": {n: single(rig, rounds, n) for n in sizes},
    }
    empty = rig.kernel("elementwise", "nothing", rig.empty(1))
    launch = race({"": rig.repeat(rig.launch(empty, (1,), (1,)))}, rounds).median("")
    ratios = {
        f"{connection}, {scheme}": {n: races[connection][n].ratio(scheme, ONE) for n in sizes}
        for connection, schemes in MANY.items()
        for scheme in schemes
    }
    verdict = verdicts.launches(rig.kind, ratios)
    names = {"full": f"Full, {INPUTS} to {OUTPUTS} maps", "single": f"Single, {INPUTS} to {INPUTS} maps"}
    cpu = "Multiple kernel launches seems actually more efficient than performing a single one."
    gpu = (
        "Our intuition says that a kernel launch is expensive. … The GPU is more sensitive to kernel "
        "launches than the CPU."
    )
    how = (
        f"Naive {TAPS}×{TAPS} convolutions of square images. All launches go into one in-order queue, one "
        "wait at the end; "
        f"an empty launch takes {microseconds(launch)} µs here, PyOpenCL's call included. All give equal "
        "outputs. Times in µs."
    )
    tables = tuple(_table(names[connection], found, MANY[connection]) for connection, found in races.items())
    panels = [_times(names[c], found, (ONE, *MANY[c])) for c, found in races.items()]
    panels += [_ratios(names[c], found, MANY[c]) for c, found in races.items()]
    title = (
        "Many launches beat one on a CPU (Figure 4)" if rig.cpu else "One launch beats many (Figures 2 and 3)"
    )
    return [Claim(title, cpu if rig.cpu else gpu, how, verdict, tables, Plot("launches", tuple(panels)))]


def full(rig: Rig, rounds: int, size: int) -> Race[str]:
    """Every output map from all input maps."""
    maps = Convolution(rig, INPUTS, OUTPUTS, size, size, TAPS)
    schemes = {
        ONE: maps.full(),
        BY_MAP: maps.full_by_map(),
        ADDED: maps.pairs_added(),
        APART: maps.pairs_apart(),
    }
    return race({name: scheme.checked(rig) for name, scheme in schemes.items()}, rounds)


def single(rig: Rig, rounds: int, size: int) -> Race[str]:
    """Every output map from one input map."""
    maps = Convolution(rig, INPUTS, INPUTS, size, size, TAPS, single=True)
    schemes = {ONE: maps.each(GROUP), BY_MAP: maps.each_by_map()}
    return race({name: scheme.checked(rig) for name, scheme in schemes.items()}, rounds)


def _table(name: str, races: dict[int, Race[str]], many: tuple[str, ...]) -> ClaimTable:
    header = (f"{name}: image", ONE, *(text for scheme in many for text in (scheme, "over one")))
    rows = []
    for size, found in races.items():
        cells = [
            text
            for scheme in many
            for text in (microseconds(found.median(scheme)), str(found.ratio(scheme, ONE)))
        ]
        rows.append((f"{size}×{size}", microseconds(found.median(ONE)), *cells))
    return ClaimTable(header, tuple(rows))


def _times(name: str, races: dict[int, Race[str]], schemes: tuple[str, ...]) -> Panel:
    sizes = tuple(races)
    series = tuple(
        Series(scheme, sizes, tuple(1e3 * races[n].median(scheme) for n in sizes)) for scheme in schemes
    )
    return Panel(name, "image width and height, pixels", "time, ms", series, "xy", None, sizes)


def _ratios(name: str, races: dict[int, Race[str]], schemes: tuple[str, ...]) -> Panel:
    sizes = tuple(races)
    series = tuple(
        Series(scheme, sizes, tuple(races[n].ratio(scheme, ONE).median for n in sizes)) for scheme in schemes
    )
    return Panel(
        f"{name}: many over one",
        "image width and height, pixels",
        "time / time of one launch",
        series,
        "x",
        1.0,
        sizes,
    )
