"""Claim (c) of section 9: implicit against explicit vectors, structures of arrays, unrolled loops."""

from __future__ import annotations

from ....runtime.opencl.plan.config import KernelConfig
from ..report import verdict as verdicts
from ..report.report import Claim, ClaimTable, Panel, Plot, Series, microseconds
from ..rig.convolution import GROUP, Convolution
from ..rig.device import Repeat, Rig
from ..rig.elementwise import Elementwise
from ..rig.generated import GeneratedKernel
from ..rig.timing import Race, race

COUNT, NORMS = 1 << 18, 256
IMAGE, MAPS, TAPS = 260, 4, 5
WIDTHS = (1, 2, 4, 8, 16)

UNROLLED = (2, 3, 5, 7, 9)
PRODUCT, POLYNOMIAL, CONVOLUTION, GENERATED = (
    "product",
    "32 multiply-adds",
    "5×5 convolution",
    "generated 5×5 convolution",
)


def widths(rig: Rig) -> tuple[int, ...]:
    """Those that the device's compiler can take."""
    return tuple(n for n in WIDTHS if n <= rig.widest)


def variants(rig: Rig) -> dict[str, dict[int, Repeat]]:
    """By kernel and floats per vector, what runs it; all checked."""
    numbers = Elementwise(rig, COUNT)
    images = Convolution(rig, MAPS, MAPS, IMAGE, IMAGE, TAPS, single=True)
    generated = GeneratedKernel(rig.selector)
    tiles = generated.space.default.tiles
    return {
        PRODUCT: {v: numbers.vectors("multiply", v).checked(rig) for v in widths(rig)},
        POLYNOMIAL: {v: numbers.vectors("polynomial", v).checked(rig) for v in widths(rig)},
        CONVOLUTION: {v: images.each_vector(v).checked(rig) for v in widths(rig)},
        GENERATED: {
            v: generated.candidate(KernelConfig(dict(tiles), v)).launch for v in generated.space.device.widths
        },
    }


def measure(rig: Rig, rounds: int) -> list[Claim]:
    """Four claims: implicit vectors suffice, SoA not AoS, explicit ones do no harm, do not unroll."""
    races = {name: race(found, rounds) for name, found in variants(rig).items()}
    return [*_vectors(rig, races), layout(rig, rounds), unrolling(rig, rounds)]


def _vectors(rig: Rig, races: dict[str, Race[int]]) -> list[Claim]:
    native, tried = int(rig.device.native_vector_width_float), widths(rig)
    best = {name: found.fastest([n for n in found.seconds if n > 1]) for name, found in races.items()}
    rows = [(str(n), *(microseconds(found.median(n)) for found in races.values())) for n in tried]
    table = ClaimTable(("floats per vector", *races), tuple(rows))
    panel = Panel(
        "Time against explicit vector width",
        "floats per vector (1: scalar code)",
        "time / time of scalar code",
        tuple(Series(n, tried, tuple(found.ratio(v, 1).median for v in tried)) for n, found in races.items()),
        "xy",
        1.0,
        tried,
    )
    how = (
        f"Products and polynomials of {COUNT} floats, a naive 5×5 convolution of {MAPS} maps of "
        f"{IMAGE}×{IMAGE} (neighbouring "
        "outputs per vector), and phiz's generated kernel of LeNet's second convolution, batch 128 "
        "(neighbouring samples per "
        "vector, same tiles). Width 1 is scalar code over neighbouring work items, which the driver may "
        "turn into vectors. Native "
        f"width: {native}. Times in µs."
    )
    implicit = verdicts.implicit_vectors({name: races[name].ratio(1, best[name]) for name in races}, best)
    harmless = verdicts.explicit_harmless(
        {name: {v: found.ratio(v, 1) for v in tried if v > 1} for name, found in races.items()}, native
    )
    return [
        Claim(
            "Implicit vectors suffice",
            "Explicit vectorization is often not needed.",
            how,
            implicit,
            (table,),
            Plot("vectors", (panel,)),
        ),
        Claim(
            "Explicit vectors do no harm",
            "There's usually no performance penalty to use OpenCL vectors.",
            "The figures of the table above.",
            harmless,
        ),
    ]


def layout(rig: Rig, rounds: int, count: int = 4 * COUNT) -> Claim:
    """Structures of arrays against arrays of structures, scalar code."""
    numbers = Elementwise(rig, count)
    apart, alone, together = f"SoA, groups of {NORMS}", "SoA, groups of 1", f"AoS, groups of {NORMS}"
    schemes = {
        apart: numbers.norms(False, NORMS),
        alone: numbers.norms(False, 1),
        together: numbers.norms(True, NORMS),
    }
    found = race({name: scheme.checked(rig) for name, scheme in schemes.items()}, rounds)
    rows = tuple((name, microseconds(found.median(name)), str(found.ratio(name, apart))) for name in schemes)
    return Claim(
        "Structures of arrays vectorise implicitly",
        "Implicit vectorization is supported as long as SoA are used instead of AoS.",
        f"Norms of {count // 4} vectors of four floats, scalar code.",
        verdicts.layout(found.ratio(together, apart), found.ratio(alone, apart)),
        (ClaimTable(("layout", "µs", "over SoA"), rows),),
    )


def unrolling(rig: Rig, rounds: int, image: int = IMAGE, filters: tuple[int, ...] = UNROLLED) -> Claim:
    """The naive convolution with its loops over taps kept, unrolled, and as the compiler likes."""
    ratios, rows = {}, []
    for taps in filters:
        maps = Convolution(rig, MAPS, MAPS, image, image, taps, single=True)
        found = race({flag: maps.each(GROUP, flag).checked(rig) for flag in (0, 1, -1)}, rounds)
        ratios[taps] = found.ratio(1, 0)
        free = found.ratio(-1, 0)
        rows.append(
            (
                f"{taps}×{taps}",
                *(microseconds(found.median(n)) for n in (0, 1, -1)),
                str(ratios[taps]),
                str(free),
            )
        )
    header = (
        "filter",
        "kept, µs",
        "unrolled, µs",
        "compiler's choice, µs",
        "unrolled / kept",
        "compiler's / kept",
    )
    cpu = (
        "Do not bother unrolling loops. Loops can even be helpful since it can make implicit "
        "vectorization easier."
    )
    gpu = "Small loops can degrade performance. Unrolling them can in some cases improve performance."
    return Claim(
        "Do not bother unrolling loops" if rig.cpu else "Unrolling small loops can improve performance",
        cpu if rig.cpu else gpu,
        f"The naive convolution of {MAPS} maps of {image}×{image}, its loops over the taps kept by a "
        "pragma, and unrolled by one.",
        verdicts.unrolling(rig.kind, ratios),
        (ClaimTable(header, tuple(rows)),),
    )
