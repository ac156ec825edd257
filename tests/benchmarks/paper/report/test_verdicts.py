"""Verdicts on planted figures, races by a planted clock, and the report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from phiz.benchmarks.paper import paper
from phiz.benchmarks.paper.claims.local_size import is_prime
from phiz.benchmarks.paper.report import plots
from phiz.benchmarks.paper.report import verdict as verdicts
from phiz.benchmarks.paper.report.report import (
    Claim,
    ClaimTable,
    Panel,
    Plot,
    Series,
    Verdict,
    markdown,
    microseconds,
)
from phiz.benchmarks.paper.rig.generated import GeneratedKernel
from phiz.benchmarks.paper.rig.timing import Ratio, race, ratio_of


def exact(value: float) -> Ratio:
    return Ratio(value, value, value)


def vague(value: float) -> Ratio:
    """Quartiles so far apart that nothing follows."""
    return Ratio(value, value / 3, value * 3)


HOLDS, NOT, DEPENDS = "holds", "does not hold here", "depends"


# ------------------------------------------------------------------------------------------------------ races
class Clock:
    """A clock that only the variants move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def variant(self, seconds: Callable[[], float]) -> Callable[[int], None]:
        def run(count: int) -> None:
            self.now += count * seconds()

        return run


def test_a_race_measures_every_variant_in_every_round() -> None:
    clock = Clock()
    found = race({"a": clock.variant(lambda: 1e-3), "b": clock.variant(lambda: 4e-3)}, rounds=7, clock=clock)
    assert [len(times) for times in found.seconds.values()] == [7, 7]
    assert found.median("a") == pytest.approx(1e-3) and found.median("b") == pytest.approx(4e-3)
    assert (
        found.ratio("b", "a").median == pytest.approx(4)
        and found.fastest() == "a"
        and found.fastest(["b"]) == "b"
    )


def test_a_machine_that_slows_down_leaves_the_ratios_alone() -> None:
    clock = Clock()
    found = race(
        {n: clock.variant(lambda n=n: n * (1 + 9 * clock.now)) for n in (1e-3, 3e-3)}, rounds=15, clock=clock
    )  # type: ignore[misc]
    times = found.seconds[1e-3]
    assert times[-1] > 1.5 * times[0]
    assert found.ratio(3e-3, 1e-3).median == pytest.approx(3, rel=0.05)


def test_a_budget_cuts_the_rounds_but_keeps_some() -> None:
    clock = Clock()
    slow = {"a": clock.variant(lambda: 1.0), "b": clock.variant(lambda: 1.0)}
    assert len(race(slow, rounds=40, budget=20, clock=clock).seconds["a"]) == 10
    assert len(race(slow, rounds=40, budget=0.1, clock=clock).seconds["a"]) == 5
    assert len(race(slow, rounds=2, budget=0.1, clock=clock).seconds["a"]) == 2


def test_quartiles() -> None:
    assert ratio_of([1.0, 2.0, 3.0, 4.0, 5.0]) == Ratio(3.0, 2.0, 4.0)
    assert ratio_of([2.0]) == exact(2.0)
    assert Ratio(0.9, 0.8, 0.94).below(0.95) and not Ratio(0.9, 0.8, 0.96).below(0.95)
    assert Ratio(1.2, 1.06, 3).above(1.05) and not Ratio(1.2, 1.0, 3).above(1.05)


# --------------------------------------------------------------------------------------------------- verdicts
FLAT = {1: exact(3.0), 2: exact(1.2), 4: exact(1.1), 64: exact(1.0)}
STEEP = {1: exact(9.0), 2: exact(6.0), 4: exact(3.0), 64: exact(1.0)}


def test_local_sizes() -> None:
    assert verdicts.settles(FLAT) == 2 and verdicts.settles(STEEP) == 64
    assert verdicts.settles({1: exact(1.0), 64: exact(2.0)}) is None
    assert (
        verdicts.settles({1: exact(1.0), 2: vague(2.0), 4: exact(1.0)}) == 1
    )  # noise alone is no difference
    assert verdicts.insensitive("cpu", {"k": FLAT}).outcome == HOLDS
    assert verdicts.insensitive("cpu", {"k": FLAT, "m": STEEP}).outcome == DEPENDS
    found = verdicts.insensitive("cpu", {"m": STEEP})
    assert found.outcome == NOT and "m from 64 work items (at worst 6.0 times the best)" in found.sentence
    assert verdicts.insensitive("gpu", {"m": STEEP}).outcome == HOLDS
    assert verdicts.insensitive("gpu", {"k": FLAT}).outcome == NOT


def test_groups_of_one() -> None:
    assert verdicts.size_one(exact(12.0), exact(1.0), 1024).outcome == HOLDS
    assert "does no harm" in verdicts.size_one(exact(12.0), exact(1.0), 1024).sentence
    assert "still bad" in verdicts.size_one(exact(12.0), exact(5.0), 1024).sentence
    assert verdicts.size_one(exact(1.5), exact(1.0), 1024).outcome == DEPENDS
    assert verdicts.size_one(exact(1.1), exact(1.0), 1024).outcome == NOT


def test_even_sizes() -> None:
    assert verdicts.even_sizes(exact(9.0), exact(1.0), exact(1.0)).outcome == HOLDS
    assert verdicts.even_sizes(exact(9.0), exact(5.0), exact(1.0)).outcome == DEPENDS
    assert verdicts.even_sizes(exact(1.0), exact(1.0), exact(1.0)).outcome == NOT


def test_local_memory() -> None:
    never, large, all_ = (
        {3: exact(1.5), 9: exact(1.0)},
        {3: exact(1.5), 9: exact(0.5)},
        {3: exact(0.7), 9: exact(0.5)},
    )
    assert [verdicts.local_memory("cpu", r).outcome for r in (never, large, all_)] == [HOLDS, DEPENDS, NOT]
    assert [verdicts.local_memory("gpu", r).outcome for r in (never, large, all_)] == [NOT, HOLDS, HOLDS]
    assert "It pays from 9×9 on" in verdicts.local_memory("gpu", large).sentence
    assert "It pays for 9×9." in verdicts.local_memory("cpu", large).sentence
    assert verdicts.local_memory("gpu", {3: exact(0.5), 9: exact(1.5)}).outcome == DEPENDS
    assert verdicts.local_memory("cpu", {3: vague(0.9)}).outcome == HOLDS


def test_counted_accesses() -> None:
    found = [verdicts.counted(c, 9, exact(1.0), 8.0, exact(1.5)) for c in (0.9, 0.5, 0.1, -0.8)]
    assert [verdict.outcome for verdict in found] == [HOLDS, DEPENDS, NOT, NOT]
    assert "8.0 times fewer accesses" in found[0].sentence


def test_vectors() -> None:
    same, slow = exact(1.1), exact(8.0)
    assert verdicts.implicit_vectors({"a": same}, {"a": 8}).outcome == HOLDS
    assert verdicts.implicit_vectors({"a": same, "b": slow}, {"a": 8, "b": 16}).outcome == DEPENDS
    assert verdicts.implicit_vectors({"b": slow}, {"b": 16}).outcome == NOT
    assert verdicts.explicit_harmless({"a": {2: exact(2.0), 16: exact(0.3)}}, 16).outcome == HOLDS
    assert (
        "worst width 2: 2.00"
        in verdicts.explicit_harmless({"a": {2: exact(2.0), 16: exact(0.3)}}, 16).sentence
    )
    assert verdicts.explicit_harmless({"a": {2: exact(2.0), 16: exact(0.3)}}, 2).outcome == NOT
    assert verdicts.layout(exact(1.5), exact(4.0)).outcome == HOLDS
    assert verdicts.layout(exact(0.9), exact(4.0)).outcome == NOT
    assert verdicts.unrolling("cpu", {3: exact(1.0), 9: exact(1.1)}).outcome == HOLDS
    assert verdicts.unrolling("cpu", {3: exact(0.3), 9: exact(1.0)}).outcome == DEPENDS
    assert verdicts.unrolling("gpu", {3: exact(0.3), 9: exact(1.0)}).outcome == HOLDS
    assert verdicts.unrolling("gpu", {3: exact(1.0)}).outcome == NOT


def test_work_per_item() -> None:
    bowl = {1: exact(5.0), 64: exact(1.3), 1024: exact(1.05), 4096: exact(1.0), 65536: exact(2.0)}
    found = verdicts.work_per_item("cpu", bowl)
    assert (
        found.outcome == HOLDS
        and "Best at 4096 elements per work item, within 10 % of it from 1024 to 4096" in found.sentence
    )
    assert (
        verdicts.work_per_item("cpu", {1: exact(1.0), 1024: exact(1.02)}).outcome == DEPENDS
    )  # one is as good
    assert verdicts.work_per_item("cpu", {1: exact(2.0), 64: exact(1.0), 1024: exact(1.5)}).outcome == NOT
    assert verdicts.work_per_item("gpu", {1: exact(1.0), 1024: exact(3.0)}).outcome == HOLDS
    assert verdicts.work_per_item("gpu", bowl).outcome == NOT
    assert verdicts.register_tiles({1: exact(1.0), 16: exact(4.0), 64: exact(2.0)}, 8).sentence.startswith(
        "Most work per item that pays: 16 accumulators of 8 lanes (128 outputs per work item)"
    )
    assert verdicts.register_tiles({1: exact(1.0), 16: exact(1.0)}, 8).outcome == NOT


def test_launches() -> None:
    crossing = {"s": {16: exact(3.0), 128: exact(1.0), 1024: exact(0.8)}}
    found = verdicts.launches("cpu", crossing)
    assert (
        found.outcome == DEPENDS
        and "one launch ahead at 16, many at 1024; 3.00 at 16, 0.80 at 1024" in found.sentence
    )
    assert verdicts.launches("cpu", {"s": {16: exact(0.8), 32: exact(0.7)}}).outcome == HOLDS
    assert verdicts.launches("cpu", {"s": {16: exact(1.5), 32: vague(0.8)}}).outcome == NOT
    assert verdicts.launches("gpu", {"s": {16: exact(1.5), 32: exact(1.2)}}).outcome == HOLDS
    assert "every width" in verdicts.launches("gpu", {"s": {16: exact(1.5), 32: exact(1.2)}}).sentence


def test_transfers_and_constants() -> None:
    assert verdicts.mapping({"read": {1024: exact(0.5), 4096: exact(0.1)}}).outcome == HOLDS
    found = verdicts.mapping(
        {"read": {1024: exact(2.0), 4096: exact(0.1)}, "write": {1024: exact(2.0), 4096: exact(1.0)}}
    )
    assert (
        found.outcome == DEPENDS
        and "read: ahead from 4 KB on" in found.sentence
        and "write: never ahead" in found.sentence
    )
    assert verdicts.mapping({"read": {1024: exact(1.0)}}).outcome == NOT
    assert [verdicts.constant({3: exact(r)}).outcome for r in (0.5, 1.0)] == [HOLDS, NOT]
    assert verdicts.constant({3: exact(0.5), 5: exact(1.0)}).outcome == DEPENDS
    assert [verdicts.splitting(exact(r), 4).outcome for r in (1.02, 1.5)] == [HOLDS, NOT]


# --------------------------------------------------------------------------------------- schedules and report
def test_the_generated_kernel_runs_under_other_schedules() -> None:
    """Groups and tiles are what the manifest offers; a checked candidate runs."""
    generated = GeneratedKernel(batch=16)
    groups, tiles = generated.groups(), generated.tile_sizes()
    assert (
        1 in groups
        and len(groups) > 3
        and all(not generated.space.illegal(s) for s in [*groups.values(), *tiles.values()])
    )
    assert min(tiles) == 1 and len(tiles) > 3 and generated.multiply_adds == 16 * 8 * 8 * 16 * 6 * 25
    generated.candidate(groups[2]).launch(2)


def test_primes() -> None:
    assert [n for n in range(30) if is_prime(n)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]


def test_the_report_holds_quote_table_verdict_and_picture(tmp_path: Path) -> None:
    series = (Series("a", (1, 2, 4), (3.0, 2.0, 1.0)), Series("b", (1, 2), (1.0, 5.0), True))
    panels = (
        Panel("p", "x, s", "y, s", series, "xy", 1.0, (1, 2, 4)),
        Panel("q", "x, s", "y, s", series[:1]),
    )
    claim = Claim(
        "Title",
        "Words",
        "How",
        Verdict("depends", "1.5 here."),
        (ClaimTable(("k", "µs"), (("one", "2"),)),),
        Plot("pic", panels),
    )
    text = markdown("a device", [claim])
    assert (
        "Device: a device" in text
        and "> Words" in text
        and "**Depends.** 1.5 here." in text
        and "![Title](pic.png)" in text
    )
    assert "| k | µs |\n| --- | ---: |\n| one | 2 |" in text and "| Title | depends | 1.5 here. |" in text
    assert plots.save(claim.plot or pytest.fail(), tmp_path).read_bytes().startswith(b"\x89PNG")
    assert microseconds(1234e-6) == "1234" and microseconds(1.234e-6) == "1.23"
    assert [plots.short(n) for n in (0.5, 5, 1024, 1500, 3 << 20)] == ["0.5", "5", "1k", "1500", "3M"]


def test_the_command_writes_report_pictures_and_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    given = ["--paper", "transfers", "--rounds", "1", "--out", str(tmp_path / "out"), "--json", str(file)]
    assert paper.main(given) == 0
    printed = capsys.readouterr()
    text = (tmp_path / "out" / paper.REPORT).read_text()
    assert printed.out == text and "transfers ..." in printed.err
    report = json.loads(file.read_text())
    assert [claim["title"] for claim in report["claims"]] == re.findall(r"^## (.*)$", text, re.M)
    assert all(claim["verdict"]["outcome"] in (HOLDS, NOT, DEPENDS) for claim in report["claims"])
    pictures = set(re.findall(r"\((\w+\.png)\)", text))
    assert pictures == {path.name for path in (tmp_path / "out").glob("*.png")} == {"transfers.png"}


def test_a_busy_machine_is_told() -> None:
    assert paper.load(0.2, 2.1, 2) == "load average 0.2 before, 2.1 after, on 2 cores"
    assert all("compare little" in paper.load(before, after, 2) for before, after in ((1.8, 2.0), (0.2, 4.6)))


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert paper.main(["--paper", "constant", "--rounds", "0"]) == 2
    assert "expected --rounds of at least 1, got 0" in capsys.readouterr().err
    assert paper.main(["--paper", "constant", "--json", str(tmp_path / "missing" / "x.json")]) == 2
    assert "its folder does not exist" in capsys.readouterr().err
    assert paper.main(["--paper", "constant", "--device", "nowhere"]) == 2
    assert "no OpenCL device matches 'nowhere'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        paper.main(["--paper", "section-12"])
