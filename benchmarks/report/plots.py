"""The plots of ``phiz bench``: ratios against each peer, and every kernel beside the device's roof.

Colours are those of Okabe and Ito, told apart by colour-blind readers as well; each peer and each network has
a marker of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cases.cases import fits
from ..comparison.other_work import MUCH
from ..kernels.roofline import INTENSITY, SHARE
from ..peers.registry import PEERS
from .report import TITLES, on_gpu, place

Record = Mapping[str, Any]
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
#: Kernels that take at least this part of their case's time have their names written beside them, where there
#: is room.
NAMED = 0.12
GREY = "#444444"


# ------------------------------------------------------------------------------------------------------ peers
def save_peers(record: Record, path: Path) -> None:
    """One line per case, one mark per peer, on a logarithmic axis; upright bars are the goals."""
    from matplotlib.figure import Figure

    cases = [case for case in record["cases"] if any(entrant["ratio"] for entrant in case["entrants"])][::-1]
    peers = [name for name in PEERS if any(_shown(case, name) for case in cases)]
    figure = Figure(figsize=(10.5, 1.6 + 0.66 * len(cases)), layout="constrained")
    axes = figure.add_subplot()
    heights = {name: 0.3 - 0.6 * (number + 0.5) / len(peers) for number, name in enumerate(peers)}
    for name in peers:
        _peer(
            axes,
            name,
            [(row + heights[name], found) for row, case in enumerate(cases) if (found := _shown(case, name))],
        )
    for row, case in enumerate(cases):
        for goal in case["goals"]:
            _goal(axes, row, goal, heights)
    axes.set_xscale("log")
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, 0.5), max(right, 2))
    axes.axvspan(axes.get_xlim()[0], 1, color="#f3f3f3", zorder=0)
    axes.axvline(1, color="black", linewidth=1.2, zorder=1)
    axes.set_yticks(range(len(cases)), [_label(case) for case in cases], fontsize=9)
    axes.set_ylim(-0.5, len(cases) - 0.5)
    for row in range(len(cases) - 1):
        axes.axhline(row + 0.5, color="#dddddd", linewidth=0.8, zorder=0)
    axes.set_xlabel("time of the peer / time of phiz (log scale; right of 1 phiz is faster)")
    axes.xaxis.set_major_formatter(_plain_numbers())
    axes.grid(axis="x", which="major", color="#cccccc", linewidth=0.7, zorder=0)
    axes.set_title(f"{place(record)}{_busy(record)}", fontsize=10)
    axes.plot([], [], color="black", linestyle="None", marker="|", markersize=16, markeredgewidth=2.6,
              label="goal: beside PyTorch black,\nbeside others in colour")  # fmt: skip
    figure.legend(loc="outside right upper", fontsize=9, frameon=False)
    figure.savefig(path, dpi=140)


def _busy(record: Record) -> str:
    """Said in the picture as well: it is shown without the report."""
    return (
        "\nmeasured beside other work: not to be quoted"
        if (record["machine"].get("others") or 0.0) > MUCH
        else ""
    )


def _label(case: Record) -> str:
    form = f" ({case['variant']})" if case["variant"] else ""
    return f"{case['title']}{form}\nbatch {case['batch']}"


def _shown(case: Record, peer: str) -> Record | None:
    """The form of a peer that the goal is about, else its fastest: one mark a line."""
    found = [entrant for entrant in case["entrants"] if entrant["peer"] == peer and entrant["ratio"]]
    fitting = [entrant for entrant in found if fits(entrant["form"], case["variant"])] or found
    return min(fitting, key=lambda entrant: entrant["ratio"]["median"], default=None)


def _peer(axes: Any, name: str, found: Sequence[tuple[float, Record]]) -> None:
    number = list(PEERS).index(name)
    ratios = [entrant["ratio"] for _, entrant in found]
    spread = [
        [max(0.0, r["median"] - r["low"]) for r in ratios],
        [max(0.0, r["high"] - r["median"]) for r in ratios],
    ]
    axes.errorbar(
        [r["median"] for r in ratios],
        [height for height, _ in found],
        xerr=spread,
        fmt=MARKERS[number],
        markersize=7,
        color=COLOURS[number],
        markeredgecolor="white",
        markeredgewidth=0.6,
        elinewidth=1.2,
        label=TITLES[name],
        zorder=3,
    )


def _goal(axes: Any, row: int, goal: Record, heights: Mapping[str, float]) -> None:
    """Over the whole line for PyTorch (and for the best peer), short and in its colour for another peer."""
    peer = goal["peer"]
    middle, half, colour = (
        (row + heights[peer], 0.1, COLOURS[list(PEERS).index(peer)])
        if peer in heights
        else (row, 0.36, "black")
    )
    axes.plot(
        [goal["factor"]] * 2,
        [middle - half, middle + half],
        color=colour,
        linewidth=2.6,
        zorder=2,
        solid_capstyle="butt",
    )


def _plain_numbers() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:g}")


# --------------------------------------------------------------------------------------------------- roofline
def save_roofline(record: Record, path: Path) -> None:
    """Operations a second over operations a byte, both logarithmic; a mark's area is its part of its
    case's time.
    """
    from matplotlib.figure import Figure

    peaks, kernels = record["peaks"][0], [point for point in record["kernels"] if point["operations"]]
    figure = Figure(figsize=(11.5, 6.6), layout="constrained")
    axes = figure.add_subplot()
    left, right = _scales(axes, peaks, kernels)
    written = _roofs(axes, peaks, left, right)
    _marks(axes, record["cases"], kernels)
    where = (
        peaks["device"] if on_gpu(record) else f"{peaks['device']}, {record['options']['threads']} threads"
    )
    axes.set_title(f"Every kernel beside the measured roof: {where}{_busy(record)}", fontsize=11)
    explained = "area: part of its case's time\nnames: layer number, kernel"
    legend = figure.legend(
        fontsize=8.5, frameon=False, loc="outside right upper", title=explained, title_fontsize=8.5
    )
    handles: list[Any] = [handle for handle in legend.legend_handles if hasattr(handle, "set_sizes")]
    for handle in handles:
        handle.set_sizes([60])
    _names(figure, axes, kernels, written)
    figure.savefig(path, dpi=140)


def _scales(axes: Any, peaks: Record, kernels: Sequence[Record]) -> tuple[float, float]:
    """Both axes, wide enough for every kernel and the ridge; the ends of the lower one."""
    intensities = [_intensity(point) for point in kernels] or [1.0]
    left, right = min(0.1, *intensities, INTENSITY), 2 * max(64.0, *intensities, INTENSITY)
    lowest = min([point["gflops"] for point in kernels] or [1.0]) / 2
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(lowest, 2.2 * peaks["flops"] / 1e9)
    axes.xaxis.set_major_formatter(_plain_numbers())
    axes.yaxis.set_major_formatter(_plain_numbers())
    axes.grid(which="major", color="#dddddd", linewidth=0.6, zorder=0)
    axes.set_xlabel("operations a byte (counted from the derived loops; every tensor moved once)")
    axes.set_ylabel("GFLOP/s, float32")
    return left, right


def _marks(axes: Any, cases: Sequence[Record], kernels: Sequence[Record]) -> None:
    """One mark a kernel, in the colour and shape of its case."""
    titles = {case["case"]: f"{_model(case)}, batch {case['batch']}" for case in cases}
    for number, case in enumerate(dict.fromkeys(point["case"] for point in kernels)):
        mine = [point for point in kernels if point["case"] == case]
        axes.scatter(
            [_intensity(point) for point in mine],
            [point["gflops"] for point in mine],
            s=[26 + 340 * point["of_case"] for point in mine],
            marker=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            edgecolors="black",
            linewidths=0.5,
            alpha=0.85,
            label=titles.get(case, case),
            zorder=3,
        )


def _model(case: Record) -> str:
    return str(case["case"]).removesuffix(f"-{case['mode']}-{case['batch']}")


def _intensity(point: Record) -> float:
    return float(point["operations"] / point["bytes"])


def _roofs(axes: Any, peaks: Record, left: float, right: float) -> list[Any]:
    """Draws them; what is written beside them."""
    flops, styles = peaks["flops"] / 1e9, ("-", "--", ":")
    for number, level in enumerate(peaks["levels"]):
        bandwidth = level["bandwidth"] / 1e9
        axes.plot(
            [left, flops / bandwidth],
            [left * bandwidth, flops],
            color=GREY,
            linewidth=1.4,
            linestyle=styles[number % 3],
            zorder=1,
            label=f"{level['name']}: {bandwidth:.0f} GB/s",
        )
    ridge = min(flops / (level["bandwidth"] / 1e9) for level in peaks["levels"])
    axes.plot([ridge, right], [flops, flops], color=GREY, linewidth=1.8, zorder=1)
    axes.plot(
        [INTENSITY, right], [SHARE * flops] * 2, color=GREY, linewidth=1, linestyle=(0, (1, 3)), zorder=1
    )
    axes.axvline(INTENSITY, color="#888888", linewidth=1, linestyle=":", zorder=1)
    near = {"textcoords": "offset points", "fontsize": 8, "color": "#555555"}
    low = axes.get_ylim()[0]
    return [
        axes.annotate(
            f"multiply-add peak {flops:.0f} GFLOP/s",
            (ridge, flops),
            xytext=(0, 6),
            **(near | {"color": "black"}),
        ),
        axes.annotate(f"{SHARE:.0%} of it", (right, SHARE * flops), xytext=(-6, 3), ha="right", **near),
        axes.annotate(
            "from 10 operations a byte on:\nheld against the peak", (INTENSITY, low), xytext=(6, 6), **near
        ),
    ]


def _names(figure: Any, axes: Any, kernels: Sequence[Record], written: Sequence[Any]) -> None:
    """Writes the names of the kernels that count beside their marks.

    The longest come first; a name that finds no free place is left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    marks = axes.transData.transform([(_intensity(point), point["gflops"]) for point in kernels])
    taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in marks]
    taken += [text.get_window_extent(renderer) for text in written]
    deep = {point["case"] for point in kernels if not point["layer"].startswith(("layer 0", "loss"))}
    for point in sorted((p for p in kernels if p["of_case"] >= NAMED), key=lambda p: -p["of_case"]):
        layer = point["layer"].partition(" (")[0] if point["case"] in deep else ""
        name = f"{layer.replace('layer ', '')} {point['kernel']}".strip()
        for offset, side in (
            ((10, -3), "left"),
            ((-10, -3), "right"),
            ((0, 11), "center"),
            ((0, -17), "center"),
        ):
            text = axes.annotate(
                name,
                (_intensity(point), point["gflops"]),
                xytext=offset,
                textcoords="offset points",
                ha=side,
                fontsize=7,
                color="#222222",
                zorder=4,
            )
            box = text.get_window_extent(renderer)
            if (
                not any(box.overlaps(other) for other in taken)
                and axes.bbox.contains(*box.p0)
                and axes.bbox.contains(*box.p1)
            ):
                taken.append(box)
                break
            text.remove()
