"""The plots of ``phiz bench``: ratios against each peer, and every kernel beside the device's roof.

Colours are those of Okabe and Ito, told apart by colour-blind readers as well; each peer and each network has a marker of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .peers import PEERS
from .report import SIDES
from .roofline import INTENSITY

Record = Mapping[str, Any]
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
#: Kernels that take at least this part of their work's time have their names written beside them.
NAMED = 0.12


def save_peers(record: Record, path: Path) -> None:
    """One line per work, one mark per peer, on a logarithmic axis; short bars are the goals."""
    from matplotlib.figure import Figure

    works = [work for work in record["works"] if any(side["ratio"] for side in work["sides"])][::-1]
    peers = [name for name in PEERS if any(side["peer"] == name for work in works for side in work["sides"])]
    figure = Figure(figsize=(10, 1.8 + 0.5 * len(works)), layout="constrained")
    axes = figure.add_subplot()
    _shade(axes)
    for number, name in enumerate(peers):
        offset = 0.28 * (0.5 - (number + 0.5) / max(1, len(peers))) * 2
        found = [
            (row + offset, side["ratio"])
            for row, work in enumerate(works)
            for side in _best_forms(work, name)
        ]
        middle = [ratio["median"] for _, ratio in found]
        spread = [[m - r["low"] for m, (_, r) in zip(middle, found, strict=True)],
                  [r["high"] - m for m, (_, r) in zip(middle, found, strict=True)]]  # fmt: skip
        axes.errorbar(
            middle, [y for y, _ in found], xerr=[[max(0.0, v) for v in side] for side in spread], fmt=MARKERS[number], markersize=7,
            color=COLOURS[number], markeredgecolor="white", markeredgewidth=0.6, elinewidth=1.2, label=SIDES[name], zorder=3,
        )  # fmt: skip
    marked = [(row, goal) for row, work in enumerate(works) for goal in work["goals"] if goal["peer"] in ("pytorch", "best")]
    goals = [(goal["factor"], row) for row, goal in marked]
    if goals:
        axes.scatter(
            [x for x, _ in goals], [y for _, y in goals], marker="|", s=420, linewidths=2.4, color="black",
            label="goal beside PyTorch\n(dense: the best peer)", zorder=2,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yticks(range(len(works)), [f"{work['title']}\nbatch {work['batch']}" for work in works], fontsize=9)
    axes.set_ylim(-0.6, len(works) - 0.4)
    axes.set_xlabel("time of the peer / time of phiz (log scale; right of 1 phiz is faster)")
    axes.xaxis.set_major_formatter(_plain_numbers())
    axes.grid(axis="x", which="major", color="#cccccc", linewidth=0.7, zorder=0)
    for row in range(len(works) - 1):
        axes.axhline(row + 0.5, color="#e6e6e6", linewidth=0.8, zorder=0)
    axes.set_title(f"phiz beside its peers: {record['machine']['processor']}, {record['options']['threads']} threads", fontsize=11)
    figure.legend(loc="outside right upper", fontsize=9, frameon=False)
    figure.savefig(path, dpi=140)


def _best_forms(work: Record, peer: str) -> list[Record]:
    """The fastest form of a peer, so that it has one mark a line."""
    found = [side for side in work["sides"] if side["peer"] == peer and side["ratio"]]
    return sorted(found, key=lambda side: side["ratio"]["median"])[:1]


def _shade(axes: Any) -> None:
    axes.axvspan(1e-3, 1, color="#f4f4f4", zorder=0)
    axes.axvline(1, color="black", linewidth=1.2, zorder=1)


def _plain_numbers() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:g}")


def save_roofline(record: Record, path: Path) -> None:
    """Operations a second over operations a byte, both logarithmic; a mark's area is its part of its work's time."""
    from matplotlib.figure import Figure

    peaks, kernels = record["peaks"][0], record["kernels"]
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    axes = figure.add_subplot()
    left = min(0.1, *(point["operations"] / point["bytes"] for point in kernels if point["operations"]))
    right = 2 * max(64.0, *(point["operations"] / point["bytes"] for point in kernels))
    _roofs(axes, peaks, left, right)
    works = list(dict.fromkeys(point["work"] for point in kernels))
    for number, work in enumerate(works):
        mine = [point for point in kernels if point["work"] == work and point["operations"]]
        axes.scatter(
            [point["operations"] / point["bytes"] for point in mine], [point["gflops"] for point in mine],
            s=[26 + 340 * point["of_work"] for point in mine], marker=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)], edgecolors="black", linewidths=0.5, alpha=0.85, label=work, zorder=3,
        )  # fmt: skip
    _names(axes, kernels)
    axes.axvline(INTENSITY, color="#888888", linewidth=1, linestyle=":", zorder=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    lowest = min(point["gflops"] for point in kernels if point["operations"])
    axes.set_ylim(lowest / 2, 2 * peaks["flops"] / 1e9)
    axes.annotate(
        "at least 10 operations a byte:\nheld against the peak", (INTENSITY, lowest / 1.7), xytext=(6, 0),
        textcoords="offset points", fontsize=8, color="#555555",
    )  # fmt: skip
    axes.xaxis.set_major_formatter(_plain_numbers())
    axes.yaxis.set_major_formatter(_plain_numbers())
    axes.grid(which="major", color="#dddddd", linewidth=0.6, zorder=0)
    axes.set_xlabel("operations a byte (counted from the derived loops; every tensor moved once)")
    axes.set_ylabel("GFLOP/s, float32")
    axes.set_title(f"Every kernel beside the measured roof: {peaks['device']}, {record['options']['threads']} threads", fontsize=11)
    legend = axes.legend(fontsize=8.5, frameon=True, loc="upper left", title="area: part of its work's time", title_fontsize=8.5)
    handles: list[Any] = [handle for handle in legend.legend_handles if hasattr(handle, "set_sizes")]
    for handle in handles:
        handle.set_sizes([60])
    figure.savefig(path, dpi=140)


def _roofs(axes: Any, peaks: Record, left: float, right: float) -> None:
    flops = peaks["flops"] / 1e9
    styles = ("-", "--", ":")
    for number, level in enumerate(peaks["levels"]):
        bandwidth = level["bandwidth"] / 1e9
        ridge = flops / bandwidth
        axes.plot([left, ridge], [left * bandwidth, flops], color="#444444", linewidth=1.4, linestyle=styles[number % 3], zorder=1,
                  label=f"{level['name']}: {bandwidth:.0f} GB/s")  # fmt: skip
    ridge = min(flops / (level["bandwidth"] / 1e9) for level in peaks["levels"])
    axes.plot([ridge, right], [flops, flops], color="#444444", linewidth=1.8, zorder=1)
    axes.plot([INTENSITY, right], [0.6 * flops] * 2, color="#444444", linewidth=1, linestyle=(0, (1, 3)), zorder=1)
    axes.annotate(f"multiply-add peak {flops:.0f} GFLOP/s", (right, flops), xytext=(-6, 5), textcoords="offset points", ha="right",
                  fontsize=9)  # fmt: skip
    axes.annotate("60 %", (right, 0.6 * flops), xytext=(-6, -11), textcoords="offset points", ha="right", fontsize=8,
                  color="#555555")  # fmt: skip


def _names(axes: Any, kernels: list[Record]) -> None:
    for point in kernels:
        if point["of_work"] >= NAMED and point["operations"]:
            layer = point["layer"].partition(" (")[0].replace("layer ", "")
            axes.annotate(
                f"{layer} {point['kernel']}", (point["operations"] / point["bytes"], point["gflops"]), xytext=(7, 5),
                textcoords="offset points", fontsize=7, color="#333333", zorder=4,
            )  # fmt: skip
