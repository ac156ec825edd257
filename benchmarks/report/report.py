"""The record of ``phiz bench`` as Markdown: ours against each peer, memory, waits, and the kernels
beside the roof.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ..comparison.other_work import MUCH
from ..kernels.roofline import SHARE
from ..peers.registry import PEERS, PYTORCH

Record = Mapping[str, Any]
TITLES = {"phiz": "phiz", **{name: peer.title for name, peer in PEERS.items()}}
#: How kernels are timed on a CPU and on a GPU, and the part of a case that the last row of the summary begins
#: with.
TIMED = (
    "as one of many in a launch: what a launch that does it several times takes longer than one that "
    "does it once."
)
TIMED_ON_GPU = "as a launch of its own, timed by the device, without what an empty launch takes."
LEAST_PART = 0.01
OTHERS = {"pytorch": "PyTorch", "best": "the best peer"}


def markdown(record: Record, pictures: bool = False) -> str:
    """The whole report; ``pictures``: with the plots that lie beside it."""
    parts = [_head(record), _cases(record, pictures), _goals(record)]
    if record.get("kernels"):
        parts.append(_roofline(record, pictures))
    if record["memory"]:
        parts.append(_memory(record))
    if record["waits"]:
        parts.append(_waits(record))
    notes = [
        *record["missing"],
        *dict.fromkeys(line for case in record["cases"] for line in (*case["wrong"], *case["notes"])),
    ]
    if notes:
        parts.append(
            "## Not measured, or left out\n\n" + "\n".join(f"* {line}" for line in dict.fromkeys(notes))
        )
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1) -> str:
    """A Markdown table, the first ``left`` columns left-aligned."""
    lines = [header, ["---"] * left + ["---:"] * (len(header) - left), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _head(record: Record) -> str:
    machine, options = record["machine"], record["options"]
    versions = "; ".join(dict.fromkeys(machine["versions"].values()))
    return (
        "# phiz beside its peers\n\n"
        f"{place(record)}; Python {machine['python']}; {versions}.\n"
        f"{_precision(record)}"
        f"Load average at the start {machine['load']:.1f}; {machine.get('seconds', 0):.0f} s in "
        f"all.{_others(machine)}\n\n"
        f"Every peer has a process of its own; they take turns over {options['rounds']} rounds with about "
        f"{options['block']:g} s "
        "of calls each, and the median counts.  A peer whose numbers differ from phiz's by more than 1e-4 "
        "is not timed."
    )


def on_gpu(record: Record) -> bool:
    """Whether phiz and its peers computed on a GPU."""
    return bool(record["machine"].get("gpu"))


def place(record: Record) -> str:
    """What phiz and its peers computed on: the GPU, or the processor and its threads."""
    machine = record["machine"]
    if on_gpu(record):
        return f"{machine['device']} beside {machine['processor']}"
    return f"{machine['processor']}; {record['options']['threads']} threads each"


def _precision(record: Record) -> str:
    if not on_gpu(record):
        return ""
    return (
        f"phiz through OpenCL on {record['machine']['device']} (driver {record['machine']['driver']}); "
        "peers on the GPU, "
        "float32 without TF32; threads are not limited.\n"
    )


def _others(machine: Record) -> str:
    others = machine.get("others")
    if others is None:
        return ""
    text = f"  Other processes took {others:.0%} of the processors' time."
    if others > MUCH:
        text += (
            "\n\n**Not to be quoted: measured beside other work.**  Threads that spin at barriers, as "
            "PyTorch's do, lose more by "
            "that than phiz, whose ratios then look better than they are."
        )
    return text


def _cases(record: Record, pictures: bool) -> str:
    peers = [
        name
        for name in PEERS
        if any(entrant["peer"] == name for case in record["cases"] for entrant in case["entrants"])
    ]
    header = ["case, float32", "batch", "phiz ms", "with host arrays", *(TITLES[name] for name in peers)]
    rows = []
    for case in record["cases"]:
        ours = {entrant["form"]: entrant for entrant in case["entrants"] if entrant["peer"] == "phiz"}
        times = [f"{ours[form]['ms']:.3g}" if form in ours else "–" for form in ("placed", "host")]
        rows.append([case["title"], case["batch"], *times, *(_cell(case, name) for name in peers)])
    text = (
        "## Ours against each peer\n\nTime of the peer over phiz's with the samples placed on the device "
        "(as the peers' are): "
        "above 1 phiz is faster.  Median over the rounds, quartiles in brackets.\n\n" + table(header, rows)
    )
    return text + ("\n\n![Ours against each peer](peers.png)" if pictures else "")


def _cell(case: Record, peer: str) -> str:
    found = [entrant for entrant in case["entrants"] if entrant["peer"] == peer and entrant["ratio"]]
    return "; ".join(f"{_ratio(entrant['ratio'])}{_form(entrant['form'])}" for entrant in found) or "–"


def _ratio(ratio: Record) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"


def _form(form: str) -> str:
    return f", {form}" if form else ""


def _goals(record: Record) -> str:
    rows = []
    for case in record["cases"]:
        for goal in case["goals"]:
            peer = OTHERS.get(goal["peer"], TITLES.get(goal["peer"], goal["peer"]))
            verdict = "reached" if goal["met"] else f"missed: {goal['reached'] / goal['factor']:.0%} of it"
            against = _against(goal["against"])
            rows.append(
                [
                    f"{case['title']}, batch {case['batch']}",
                    f"≥ {goal['factor']:.3g} × {peer}",
                    against,
                    f"{goal['reached']:.2f}",
                    verdict,
                ]
            )
    if not rows:
        return "## Goals\n\nNone belongs to what was measured."
    met = sum(row[-1] == "reached" for row in rows)
    text = table(["case", "goal", "against", "measured", ""], rows, left=3)
    return (
        f"## Goals\n\n{met} of {len(rows)} reached.  “PyTorch” is the faster of eager and compiled.\n\n{text}"
    )


def _against(entrant: str) -> str:
    peer, _, form = entrant.partition(" (")
    return TITLES.get(peer, peer) + (f" ({form}" if form else "")


def _roofline(record: Record, pictures: bool) -> str:
    timed = TIMED_ON_GPU if on_gpu(record) else TIMED
    parts = [
        f"## Kernels beside the roof\n\nEvery kernel by itself, in the order of a pass, {timed}  "
        f"{_peaks(record)}"
    ]
    if pictures:
        parts.append("![Every kernel beside the device's roof](roofline.png)")
    parts.append(_summary(record["kernels"]))
    header = [
        "case",
        "layer",
        "kernel",
        "µs",
        "of the case",
        "operations a byte",
        "GFLOP/s",
        "GB/s",
        "bound by",
        "of the roof",
    ]
    rows = []
    for point in record["kernels"]:
        bound = "arithmetic" if point["bound"] == "compute" else f"{point['level']}"
        rows.append(
            [
                point["case"],
                point["layer"],
                point["kernel"],
                f"{1e6 * point['seconds']:.1f}",
                f"{point['of_case']:.0%}",
                f"{point['operations'] / point['bytes']:.1f}",
                f"{point['gflops']:.1f}",
                f"{point['gbs']:.1f}",
                bound,
                f"{point['share']:.0%}",
            ]
        )
    parts.append(
        "<details><summary>Every kernel</summary>\n\n" + table(header, rows, left=3) + "\n\n</details>"
    )
    return "\n\n".join(parts)


def _peaks(record: Record) -> str:
    rows = []
    for peaks in record["peaks"]:
        levels = ", ".join(f"{level['name']} {level['bandwidth'] / 1e9:.0f}" for level in peaks["levels"])
        best = (
            f"{peaks['flops'] / 1e9:.0f} (vectors of {peaks['width']}, {peaks['accumulators']} accumulators)"
        )
        rows.append([peaks["dtype"], best, levels, f"{1e6 * peaks['launch']:.1f}"])
    header = ["dtype", "multiply-add peak, GFLOP/s", "bandwidth, GB/s", "empty launch, µs"]
    return f"{record['peaks'][0]['device']}, measured in OpenCL:\n\n" + table(header, rows, left=3)


def _summary(kernels: Sequence[Record]) -> str:
    rows = []
    kinds = (
        ("arithmetic (10 operations a byte or more)", "compute", 0.0), ("memory", "memory", 0.0),
        (f"memory, kernels that take {LEAST_PART:.0%} of their case or more", "memory", LEAST_PART),
    )  # fmt: skip
    for name, bound, least in kinds:
        mine = [point for point in kernels if point["bound"] == bound and point["of_case"] >= least]
        if mine:
            seconds = sum(point["seconds"] for point in mine)
            reached = sum(point["seconds"] for point in mine if point["met"])
            weighted = sum(point["share"] * point["seconds"] for point in mine) / seconds
            middle = statistics.median(point["share"] for point in mine)
            count = sum(point["met"] for point in mine)
            rows.append(
                [
                    name,
                    f"{count} of {len(mine)}",
                    f"{reached / seconds:.0%}",
                    f"{middle:.0%}",
                    f"{weighted:.0%}",
                ]
            )
    header = [
        "bound by",
        f"reach {SHARE:.0%}",
        "of their time",
        "median share of the roof",
        "weighted by time",
    ]
    return table(header, rows)


def _memory(record: Record) -> str:
    rows = []
    for peak in record["memory"]:
        cells = [f"{peak['stored'] / 1e6:.2f}"]
        for way in ("placed", "host"):
            cells.append("–" if peak[way] is None else f"{peak[way] / 1e6:.2f} ({peak[f'ratio_{way}']:.2f})")
        rows.append([peak["model"], peak["batch"], peak["micro_batch"], *cells, _met(peak["met"])])
    header = [
        "network",
        "batch",
        "samples a pass",
        "stored MB",
        "peak MB, placed (of stored)",
        "with host arrays",
        "≤ 1.3",
    ]
    return (
        "## Memory of a gradient\n\nStored: activations and deltas of one pass, and the parameters.  "
        "Peak: rise of the process's "
        "resident memory.\n\n" + table(header, rows)
    )


def _waits(record: Record) -> str:
    rows = [
        [wait["what"], f"{wait['seconds']:.2f}", f"≤ {wait['goal']:g}", _met(wait["met"])]
        for wait in record["waits"]
    ]
    return "## Waiting\n\nWhole processes, the interpreter's start included.\n\n" + table(
        ["", "s", "goal", ""], rows
    )


def _met(met: bool | None) -> str:
    return {True: "reached", False: "missed", None: "–"}[met]


def pytorch(case: Record) -> Record | None:
    """The entrant that counts as PyTorch: the faster of eager and compiled."""
    found = [entrant for entrant in case["entrants"] if entrant["peer"] in PYTORCH and entrant["ratio"]]
    return min(found, key=lambda entrant: entrant["ratio"]["median"], default=None)
