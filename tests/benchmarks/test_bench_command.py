"""``phiz bench``: the command from end to end with NumPy as the peer, its reports and plots, and bad
input.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from phiz.benchmarks import bench
from phiz.benchmarks.cases import cases
from phiz.benchmarks.comparison import other_work
from phiz.benchmarks.kernels import roofline
from phiz.benchmarks.kernels.device_peaks import Level, Peaks
from phiz.benchmarks.peers import registry
from phiz.benchmarks.peers.registry import Peer
from phiz.benchmarks.report import files, plots, report
from phiz.cli.main import main
from phiz.runtime.errors import PhizError
from phiz.runtime.opencl.device import device as devices


def entrant(peer: str, form: str, median: float) -> dict[str, Any]:
    ratio = {"median": median, "low": 0.9 * median, "high": 1.2 * median}
    timed = {"peer": peer, "form": form, "difference": 1e-6, "calls": 3, "slow": False, "seconds": [1.0]}
    return {**timed, "ms": median, "ratio": ratio}


def point(case: str, kernel: str, gflops: float, bound: str, share: float) -> dict[str, Any]:
    return {
        "case": case,
        "layer": "layer 0 (dense)",
        "kernel": kernel,
        "seconds": 1e-3,
        "of_case": 0.5,
        "operations": 10**6,
        "bytes": 10**4 if bound == "compute" else 10**6,
        "bound": bound,
        "level": "L2",
        "share": share,
        "gflops": gflops,
        "gbs": 1.0,
        "met": share >= 0.6,
    }


@pytest.fixture
def record() -> dict[str, Any]:
    """A record as ``bench`` makes it."""
    case = {
        "case": "lenet-gradient-128",
        "title": "LeNet, gradient",
        "batch": 128,
        "mode": "gradient",
        "variant": "",
        "wrong": [],
        "entrants": [
            entrant("phiz", "placed", 1.0),
            entrant("phiz", "host", 1.3),
            entrant("torch", "", 3.0),
            entrant("jax", "", 9.0),
        ],
        "goals": [
            {"peer": "pytorch", "factor": 4, "reached": 3.0, "against": "torch", "met": False},
            {"peer": "jax", "factor": 8, "reached": 9.0, "against": "jax", "met": True},
        ],
        "notes": ["tinygrad: no counterpart of layer 3"],
    }
    levels = [{"name": "L2", "size": 10**6, "bandwidth": 1e11, "kernel": "copy"}]
    return {
        "machine": {
            "processor": "a processor",
            "python": "3.11",
            "versions": {"phiz": "phiz 1"},
            "load": 0.1,
            "seconds": 9.0,
        },
        "options": {"rounds": 9, "threads": 2, "peers": [], "block": 0.1},
        "cases": [case],
        "peaks": [
            {
                "device": "d",
                "dtype": "float32",
                "flops": 4e11,
                "width": 8,
                "accumulators": 8,
                "levels": levels,
                "launch": 1e-6,
                "tried": {},
            }
        ],
        "kernels": [
            point(str(case["case"]), "forward_Z", 300.0, "compute", 0.75),
            point(str(case["case"]), "gradient_b", 1.0, "memory", 0.1),
        ],
        "memory": [
            {
                "model": "lenet",
                "batch": 128,
                "micro_batch": 128,
                "stored": 10**7,
                "host": 2 * 10**7,
                "placed": 1.2e7,
                "ratio_host": 2.0,
                "ratio_placed": 1.2,
                "met": True,
            }
        ],
        "waits": [{"what": "derive", "seconds": 6.0, "goal": 5.0, "met": False}],
        "missing": ["JAX jit is not installed (jax)"],
    }


def lines_of(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_the_report_says_what_was_reached_and_what_was_not(record: dict[str, Any]) -> None:
    text = report.markdown(record, pictures=True)
    (row,) = lines_of(text, "| LeNet, gradient |")
    assert "| 128 | 1 | 1.3 | 3.00 (2.70–3.60) | 9.00 (8.10–10.80) |" in row
    assert "1 of 2 reached" in text
    first, second = lines_of(text, "| LeNet, gradient, batch 128 |")
    assert "≥ 4 × PyTorch | PyTorch eager | 3.00 | missed: 75% of it" in first
    assert "≥ 8 × JAX jit | JAX jit | 9.00 | reached" in second
    assert "| arithmetic (10 operations a byte or more) | 1 of 1 | 100% | 75% | 75% |" in text
    assert "| memory | 0 of 1 | 0% | 10% | 10% |" in text
    assert "| lenet | 128 | 128 | 10.00 | 12.00 (1.20) | 20.00 (2.00) | reached |" in text
    assert "| derive | 6.00 | ≤ 5 | missed |" in text
    assert "* JAX jit is not installed (jax)" in text and "* tinygrad: no counterpart of layer 3" in text
    assert "![Ours against each peer](peers.png)" in text and "](roofline.png)" in text
    assert ".png" not in report.markdown(record)


def test_a_busy_machine_is_told(record: dict[str, Any]) -> None:
    record["machine"]["others"] = 0.04
    assert "took 4% of the processors' time." in report.markdown(
        record
    ) and "Not to be quoted" not in report.markdown(record)
    record["machine"]["others"] = 0.3
    assert "Not to be quoted" in report.markdown(record)
    ten, twelve = other_work.Clock(10.0, 100.0, 7.0), other_work.Clock(12.0, 103.0, 9.5)
    assert other_work.by_others(ten, twelve, 2) == pytest.approx(0.5 / 4)
    assert other_work.by_others(ten, other_work.Clock(12.0, None, 9.5), 2) is None
    ticks = os.sysconf("SC_CLK_TCK")
    assert other_work.busy_seconds("cpu  1 2 4 800 900 8 16 32 0 0\ncpu0 ...") == 63 / ticks


def test_plots_show_every_peer_and_every_kernel(record: dict[str, Any], tmp_path: Path) -> None:
    plots.save_peers(record, tmp_path / "peers.png")
    plots.save_roofline(record, tmp_path / "roofline.png")
    for name in ("peers.png", "roofline.png"):
        data = (tmp_path / name).read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) > 20_000


def test_the_plot_shows_the_form_that_the_goal_is_about(record: dict[str, Any]) -> None:
    case = record["cases"][0]
    case["entrants"] += [entrant("torch", "cdist", 5.0)]
    assert plots._shown(case, "torch")["form"] == ""  # type: ignore[index]
    assert plots._shown(case | {"variant": "cdist"}, "torch")["form"] == "cdist"  # type: ignore[index]
    assert plots._shown(case, "numpy") is None


def test_a_record_fails_where_no_peer_shares_our_numbers(record: dict[str, Any]) -> None:
    assert bench.failures(record) == []
    case = record["cases"][0]
    case["wrong"] = ["lenet-gradient-128: tinygrad differs"]
    assert bench.failures(record) == []  # torch and jax agree with us: tinygrad is left out
    case["entrants"] = case["entrants"][:2]
    assert bench.failures(record) == case["wrong"]
    case["entrants"], case["notes"] = [], ["phiz: DeviceError"]
    assert bench.failures(record) == ["lenet-gradient-128: phiz: DeviceError"]


def test_the_command_from_any_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [
        "bench",
        "--cases",
        "digits",
        "bilinear",
        "--batches",
        "9",
        "--rounds",
        "2",
        "--block",
        "0.002",
        "--peers",
        "numpy",
    ]
    assert main([*given, "--no-memory", "--no-startup", "--json", "all.json"]) == 0
    text = capsys.readouterr().out
    assert lines_of(text, "| digits network") and lines_of(text, "| bilinear")
    record = json.loads((tmp_path / "all.json").read_text())
    digits, bilinear = record["cases"]
    assert [(s["peer"], s["form"]) for s in digits["entrants"]] == [
        ("phiz", "placed"),
        ("phiz", "host"),
        ("numpy", ""),
    ]
    assert all(len(s["seconds"]) == 2 and s["ms"] > 0 for s in (*digits["entrants"], *bilinear["entrants"]))
    assert max(s["difference"] or 0 for s in (*digits["entrants"], *bilinear["entrants"])) < 1e-4
    files.write(record, tmp_path, None)  # without kernels there is no roofline
    assert {path.name for path in tmp_path.iterdir()} == {"all.json", "bench.md", "bench.json", "peers.png"}


def test_files_are_written_whole(record: dict[str, Any], tmp_path: Path) -> None:
    files.check(tmp_path / "new" / "folder", tmp_path / "all.json")
    files.write(record, tmp_path / "new" / "folder", tmp_path / "all.json")
    folder = tmp_path / "new" / "folder"
    assert {path.name for path in folder.iterdir()} == {"bench.md", "bench.json", "peers.png", "roofline.png"}
    assert (
        json.loads((folder / "bench.json").read_text())
        == json.loads((tmp_path / "all.json").read_text())
        == record
    )
    with pytest.raises(PhizError, match="expected a folder that can be written"):
        files.check(tmp_path / "all.json", None)


def test_the_roofline_covers_layers_that_phiz_does_not_come_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child process answers, answered here."""
    options, chosen = bench.Options(), cases.choose(["bilinear"], [9])
    peak = Peaks("d", "float32", 1e11, 8, 8, (Level("memory", 10**9, 1e10, "copy"),), 1e-6)

    class Here:
        def ask(self, *request: Any) -> Any:
            return [peak] if request[0] == "peaks" else roofline.profile_case(*request[1:3], 2)

    with contextlib.ExitStack() as stack:
        run = bench.BenchRun(
            options, lambda line: None, devices.describe(devices.choose()), {"phiz": Here()}, []
        )  # type: ignore[dict-item]
        assert list(bench._defined(run, chosen, stack)) == chosen and len(run.folders) == 1
        found = bench._roofline(run, chosen)
    assert [k["kernel"] for k in found["kernels"]] == ["forward_Z", "delta_Y", "gradient_w"]
    assert found["peaks"][0]["flops"] == 1e11 and sum(
        k["of_case"] for k in found["kernels"]
    ) == pytest.approx(1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["--cases", "resnet"],
            "phiz: unknown case 'resnet', known are lenet, dense, convolution, radial-basis, digits",
        ),
        (
            ["--peers", "torch,mxnet"],
            "phiz: unknown peer 'mxnet', known are torch, torch-compile, jax, tinygrad, sklearn, numpy",
        ),
        (["--batches", "0"], "phiz: expected batches of at least 1 sample"),
        (["--rounds", "0"], "phiz: expected --rounds, --threads and --block above 0"),
        (["--json", "no/such/folder.json"], "phiz: --json no/such/folder.json: its folder does not exist"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *given]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(said) and printed.err.count("\n") == 1


def test_what_is_not_installed_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.PEERS["numpy"].missing() is None
    assert Peer("x", "X", ".x", package="no_such_package").missing() == "X is not installed (no_such_package)"
    with monkeypatch.context() as nowhere:
        nowhere.setenv("PATH", "/nowhere")
        assert (
            Peer("x", "X", ".x", programs=("clang", "cc")).missing()
            == "X needs a compiler on the path: clang or cc"
        )
    monkeypatch.setattr(
        Peer, "missing", lambda self, gpu: None if self.name == "phiz" else f"{self.title} is not installed"
    )
    options = bench.Options(
        ["digits"], [3], 1, 1, ["torch", "numpy"], memory=False, startup=False, block=0.001
    )
    found = bench.bench(options, lambda line: None)
    assert found["missing"] == ["PyTorch eager is not installed", "NumPy is not installed"]
    assert {s["peer"] for s in found["cases"][0]["entrants"]} == {"phiz"}


def test_nothing_more_is_begun_when_the_budget_is_spent() -> None:
    options = bench.Options(
        ["digits"], [3, 4], 1, 1, [], memory=False, startup=False, block=0.001, budget=0.0
    )
    found = bench.bench(options, lambda line: None)
    assert found["cases"] == []
    assert found["missing"] == [
        f"digits-gradient-{n}: not measured, 0 s were over (--budget)" for n in (3, 4)
    ]
