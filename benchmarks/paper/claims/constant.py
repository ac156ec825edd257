"""Claim (g) of sections 9 and 10: filters in constant memory, and layers whose filters do not fit."""

from __future__ import annotations

from ..report import verdict as verdicts
from ..report.report import Claim, ClaimTable, microseconds
from ..rig.convolution import Convolution
from ..rig.device import Rig
from ..rig.timing import race

IMAGE, INPUTS, OUTPUTS = 128, 4, 8
FILTERS = (3, 5, 9)
SPLIT_IMAGE, SPLIT_INPUTS, SPLIT_OUTPUTS, SPLIT_TAPS = 48, 8, 16, 21
#: CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE of the full profile, at least.
LEAST_LIMIT = 65536
GLOBAL, CONSTANT, SPLIT = "global, one launch", "constant, one launch", "constant, split"


def measure(rig: Rig, rounds: int, image: int = IMAGE, filters: tuple[int, ...] = FILTERS) -> list[Claim]:
    """Constant against global, and split against whole."""
    return [constant(rig, rounds, image, filters), split(rig, rounds)]


def constant(rig: Rig, rounds: int, image: int, filters: tuple[int, ...]) -> Claim:
    """The same text with the filters in either address space."""
    ratios, rows = {}, []
    for taps in filters:
        sides = {
            space: Convolution(rig, INPUTS, OUTPUTS, image, image, taps, space=space)
            for space in ("__global", "__constant")
        }
        found = race({space: maps.full().checked(rig) for space, maps in sides.items()}, rounds)
        ratios[taps] = found.ratio("__constant", "__global")
        rows.append(
            (f"{taps}×{taps}", *(microseconds(found.median(space)) for space in sides), str(ratios[taps]))
        )
    return Claim(
        "Filters in constant memory",
        "A very simple way to make sure we don't access global memory for the filters is to put them onto "
        "the constant memory.",
        f"The naive full convolution, {INPUTS} to {OUTPUTS} maps of {image}×{image}.",
        verdicts.constant(ratios),
        (ClaimTable(("filter", "global, µs", "constant, µs", "constant / global"), tuple(rows)),),
    )


def split(rig: Rig, rounds: int, limit: int = LEAST_LIMIT) -> Claim:
    """A layer whose filters exceed ``limit`` bytes: in several launches, and, where the device allows
    it, in one.
    """
    shape = (SPLIT_INPUTS, SPLIT_OUTPUTS, SPLIT_IMAGE, SPLIT_IMAGE, SPLIT_TAPS)
    plain, maps = Convolution(rig, *shape), Convolution(rig, *shape, space="__constant")
    plan = maps.constant_plan(limit)
    schemes = {GLOBAL: plain.full(), SPLIT: maps.full_split(plan)}
    if 4 * maps.filters.size <= int(rig.device.max_constant_buffer_size):
        schemes[CONSTANT] = maps.full()
    found = race({name: scheme.checked(rig) for name, scheme in schemes.items()}, rounds)
    rows = tuple((name, microseconds(found.median(name)), str(found.ratio(name, GLOBAL))) for name in schemes)
    return Claim(
        "Splitting a layer whose filters do not fit",
        "In this case, it would be acceptable to split the problem into two kernel calls (or more).",
        f"{SPLIT_INPUTS} to {SPLIT_OUTPUTS} maps of {SPLIT_IMAGE}×{SPLIT_IMAGE}, "
        f"{SPLIT_TAPS}×{SPLIT_TAPS} filters: "
        f"{4 * maps.filters.size} bytes of them; split for {limit} bytes, the least that the full profile "
        "guarantees (this device: "
        f"{int(rig.device.max_constant_buffer_size)}).",
        verdicts.splitting(found.ratio(SPLIT, GLOBAL), len(plan.launches)),
        (ClaimTable(("filters", "µs", "over global"), rows),),
    )
