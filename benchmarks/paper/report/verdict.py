"""From figures to verdicts: pure functions, so that planted figures can test them.

Ratios are times over times.

``SAME``: what differs by less counts as equal.
``NEAR``: what is this close to the best counts as insensitive.
``BAD``: what is this much slower is bad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..rig.timing import Ratio
from .report import Outcome, Verdict

SAME, NEAR, BAD = 1.05, 1.25, 2.0
#: Work items of a group from which on a kernel that is called insensitive may no longer depend on their
#: number.
FEW_ITEMS = 4
#: Elements per work item that are "about 1000".
ABOUT_1000 = (512, 2048)
#: What is this close to the best counts as one of the best, and the elements per work item that are few.
CLOSE, FEW_ELEMENTS = 1.1, 4
#: Rank correlations that count as a yes, and as a no.
YES, NO = 0.7, 0.3


def outcome(holding: Sequence[bool]) -> Outcome:
    """The outcome of several cases: all, some or none of them hold."""
    return "holds" if all(holding) else "depends" if any(holding) else "does not hold here"


def settles(ratios: Mapping[int, Ratio], near: float = NEAR) -> int | None:
    """The least key from which on no time is clearly more than ``near`` of the best.

    It is None where even the last one is.  ``ratios`` are times over that of the fastest.
    """
    found = None
    for key in sorted(ratios, reverse=True):
        if ratios[key].above(near):
            break
        found = key
    return found


def insensitive(kind: str, ratios: Mapping[str, Mapping[int, Ratio]]) -> Verdict:
    """Local sizes: times over the fastest, by kernel and work items of a group.

    CPU: a kernel is insensitive where groups of FEW_ITEMS or more are all alike.  GPU: the claim is that the
    size matters.
    """
    begins = {name: settles(found) for name, found in ratios.items()}
    worst = {name: max(ratio.median for n, ratio in found.items() if n > 1) for name, found in ratios.items()}
    if kind == "gpu":
        parts = [f"{name} {worst[name]:.1f}" for name in ratios]
        result = outcome([value > NEAR for value in worst.values()])
        return Verdict(
            result, f"Slowest local size over the fastest, groups of 1 left out: {', '.join(parts)}."
        )
    parts = [
        f"{name} {'at no size' if begin is None else 'from ' + _items(begin)} (at worst {worst[name]:.1f} "
        "times the best)"
        for name, begin in begins.items()
    ]
    good = [begin is not None and begin <= FEW_ITEMS for begin in begins.values()]
    return Verdict(
        outcome(good), f"Larger groups are all within {NEAR - 1:.0%} of the best: {'; '.join(parts)}."
    )


def _items(count: int) -> str:
    return f"{count} work item{'s' if count > 1 else ''}"


def size_one(tiny: Ratio, large: Ratio, each: int) -> Verdict:
    """Local size 1 over the best: with one multiplication per work item, and with ``each``."""
    bad = tiny.above(BAD)
    rest = "which does no harm" if large.median <= NEAR else "which is still bad"
    return Verdict(
        "holds" if bad else "depends" if tiny.above(NEAR) else "does not hold here",
        f"With one multiplication per work item, groups of 1 take {tiny} times the best local size; with "
        f"{each} per work item "
        f"{large} times, {rest}.",
    )


def even_sizes(prime: Ratio, twice_prime: Ratio, padded: Ratio) -> Verdict:
    """Global sizes where the driver chooses the local size: a prime and twice a prime over a power of two."""
    matters, enough = prime.above(NEAR), not twice_prime.above(NEAR)
    words = "evenness is enough" if enough else "evenness alone is not enough"
    return Verdict(
        "does not hold here" if not matters else "holds" if enough else "depends",
        f"The driver's own local size on a prime number of work items takes {prime} times that of a power "
        "of two, on twice a prime "
        f"{twice_prime} ({words}); padded with a bounds check and a local size of our own {padded}.",
    )


def local_memory(kind: str, ratios: Mapping[int, Ratio]) -> Verdict:
    """Local memory over the best kernel without, by filter width."""
    pays = sorted(taps for taps, ratio in ratios.items() if ratio.below(1 / SAME))
    figures = ", ".join(f"{taps}×{taps}: {ratio.median:.2f}" for taps, ratio in sorted(ratios.items()))
    sentence = f"Time with local memory over the best without, by filter: {figures}. "
    if kind == "cpu":
        word = "It pays for no filter." if not pays else f"It pays for {_widths(pays)}."
        return Verdict(outcome([taps not in pays for taps in ratios]), sentence + word)
    from_here = _threshold(ratios)
    if from_here is None:
        return Verdict(
            "does not hold here" if not pays else "depends",
            f"{sentence}It pays for {_widths(pays)}, but not steadily.",
        )
    return Verdict(
        "holds",
        f"{sentence}It pays from {from_here}×{from_here} on (the paper: above 2 on Nvidia, 20 on Intel HD).",
    )


def _widths(taps: Sequence[int]) -> str:
    return ", ".join(f"{n}×{n}" for n in taps) if taps else "no filter"


def _threshold(ratios: Mapping[int, Ratio]) -> int | None:
    found = None
    for taps in sorted(ratios, reverse=True):
        if not ratios[taps].below(1 / SAME):
            break
        found = taps
    return found


def counted(correlation: float, cases: int, optimum: Ratio, fewer: float, gain: Ratio) -> Verdict:
    """Whether fewer counted accesses are faster.

    correlation: of the ranks of accesses and of times, over ``cases`` sizes.
    optimum: the time of Algorithm 4's size over the fastest.
    fewer: how many times fewer accesses Algorithm 4's size has than groups of one.
    gain: the time of groups of one over that of Algorithm 4's size.
    """
    result: Outcome = (
        "holds" if correlation >= YES else "does not hold here" if correlation <= NO else "depends"
    )
    return Verdict(
        result,
        f"Rank correlation of counted accesses and time over {cases} local sizes: {correlation:+.2f}; "
        "Algorithm 4's size takes "
        f"{optimum} times the fastest of them. It counts {fewer:.1f} times fewer accesses than groups of "
        f"one, which take {gain} "
        "times as long.",
    )


def implicit_vectors(ratios: Mapping[str, Ratio], widths: Mapping[str, int]) -> Verdict:
    """Scalar code over the best explicit vectors, by kernel; ``widths`` of the best."""
    parts = [
        f"{name} {ratio} times the best explicit width ({widths[name]})" for name, ratio in ratios.items()
    ]
    return Verdict(
        outcome([not ratio.above(NEAR) for ratio in ratios.values()]),
        f"Scalar code takes: {'; '.join(parts)}.",
    )


def layout(ratio: Ratio, gain: Ratio) -> Verdict:
    """Arrays of structures over structures of arrays.

    ``gain``: with structures of arrays, the time in groups of one divided by that in larger groups.
    """
    return Verdict(
        "holds" if ratio.above(SAME) else "does not hold here",
        f"Array of structures takes {ratio} times structure of arrays; grouping work items, so that "
        "neighbours become one vector, "
        f"makes the latter {gain.median:.1f} times faster.",
    )


def explicit_harmless(ratios: Mapping[str, Mapping[int, Ratio]], native: int) -> Verdict:
    """Explicit vectors over scalar code, by kernel and width: no penalty where ``native``-wide ones are
    not slower.
    """
    chosen = {
        name: found[min(found, key=lambda width: abs(width - native))] for name, found in ratios.items()
    }
    worst = {name: max(found.items(), key=lambda item: item[1].median) for name, found in ratios.items()}
    parts = [
        f"{name} {chosen[name]} (worst width {worst[name][0]}: {worst[name][1].median:.2f})"
        for name in ratios
    ]
    return Verdict(
        outcome([not ratio.above(SAME) for ratio in chosen.values()]),
        f"Vectors of the native width {native} over scalar code: {'; '.join(parts)}.",
    )


def unrolling(kind: str, ratios: Mapping[int, Ratio]) -> Verdict:
    """Unrolled over rolled loops, by filter width."""
    faster = [taps for taps, ratio in sorted(ratios.items()) if ratio.below(1 / SAME)]
    figures = ", ".join(f"{taps}×{taps}: {ratio}" for taps, ratio in sorted(ratios.items()))
    words = f"Unrolled over rolled loops: {figures}; faster for {_widths(faster)}."
    if kind == "gpu":
        return Verdict("holds" if faster else "does not hold here", words)
    return Verdict(outcome([taps not in faster for taps in ratios]), words)


def work_per_item(kind: str, ratios: Mapping[int, Ratio]) -> Verdict:
    """Times over the fastest by elements per work item.

    CPU: about 1000 are among the best, one is not.  GPU: more is worse.
    """
    best = min(ratios, key=lambda count: ratios[count].median)
    fine = sorted(count for count, ratio in ratios.items() if not ratio.above(CLOSE))
    few, large = min(ratios), max(ratios)
    words = f"Best at {best} elements per work item, within 10 % of it from {fine[0]} to {fine[-1]}; "
    words += f"{few} takes {ratios[few]} times, {large} {ratios[large]} times."
    if kind == "gpu":
        return Verdict(
            "holds" if ratios[large].above(NEAR) and best <= FEW_ELEMENTS else "does not hold here", words
        )
    near = any(ABOUT_1000[0] <= count <= ABOUT_1000[1] for count in fine)
    return Verdict(
        "does not hold here" if not near else "holds" if ratios[few].above(NEAR) else "depends", words
    )


def register_tiles(gains: Mapping[int, Ratio], lanes: int) -> Verdict:
    """One accumulator per work item over several, by their number: does more work per item pay, and up
    to where?
    """
    best = max(gains, key=lambda count: gains[count].median)
    most = max(gains)
    result: Outcome = "holds" if gains[best].above(NEAR) else "does not hold here"
    return Verdict(
        result,
        f"Most work per item that pays: {best} accumulators of {lanes} lanes ({best * lanes} outputs per "
        "work item), "
        f"{gains[best]} times as fast as one; with {most}, more than the registers hold, "
        f"{gains[most]} times.",
    )


def launches(kind: str, ratios: Mapping[str, Mapping[int, Ratio]]) -> Verdict:
    """Many launches over one, by scheme and image width.

    GPU: one launch is faster (Figures 2 and 3).  CPU: many seem faster (Figure 4), at the largest images at
    least.
    """
    parts, holding = [], []
    for name, found in ratios.items():
        sizes = sorted(found)
        one = [size for size in sizes if found[size].above(SAME)]
        many = [size for size in sizes if found[size].below(1 / SAME)]
        worst = max(sizes, key=lambda size: found[size].median)
        parts.append(
            f"{name}: one launch ahead at {_count(one, sizes)}, many at {_count(many, sizes)}; "
            f"{found[worst].median:.2f} at "
            f"{worst}, {found[sizes[-1]].median:.2f} at {sizes[-1]}"
        )
        holding += [size in many if kind == "cpu" else size in one for size in sizes]
    return Verdict(outcome(holding), f"Many launches over one, by image width. {'. '.join(parts)}.")


def _count(some: Sequence[int], sizes: Sequence[int]) -> str:
    return "every width" if len(some) == len(sizes) else ", ".join(map(str, some)) if some else "no width"


def mapping(ratios: Mapping[str, Mapping[int, Ratio]]) -> Verdict:
    """Map and unmap over copies, by direction and bytes."""
    parts, held = [], []
    for name, found in ratios.items():
        few, many = min(found), max(found)
        ahead = [size for size in sorted(found) if found[size].below(1 / SAME)]
        where = f"ahead from {ahead[0] // 1024} KB on" if ahead else "never ahead"
        parts.append(f"{name}: {where}, {found[few]} at {few // 1024} KB, {found[many]} at {many // 1024} KB")
        held += [size in ahead for size in found]
    return Verdict(outcome(held), f"Map and unmap over copies. {'. '.join(parts)}.")


def constant(ratios: Mapping[int, Ratio]) -> Verdict:
    """Filters in constant over filters in global memory, by filter width."""
    figures = ", ".join(f"{taps}×{taps}: {ratio}" for taps, ratio in sorted(ratios.items()))
    return Verdict(
        outcome([ratio.below(1 / SAME) for ratio in ratios.values()]),
        f"Filters in constant over filters in global memory: {figures}.",
    )


def splitting(ratio: Ratio, count: int) -> Verdict:
    """A layer in ``count`` launches with constant filters over one launch with global ones: acceptable?"""
    result: Outcome = "holds" if not ratio.above(CLOSE) else "does not hold here"
    return Verdict(
        result,
        f"{count} launches whose filters fit take {ratio} times one launch with its filters in "
        "global memory.",
    )
