"""``phiz bench`` with phiz on a GPU: which workers take part, how they are started, and what the record
and the report say.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from phiz.benchmarks import bench
from phiz.benchmarks.cases import cases
from phiz.benchmarks.cases.cases import Case, Goal, fits
from phiz.benchmarks.cases.models import MODELS
from phiz.benchmarks.comparison import startup
from phiz.benchmarks.comparison.agreement import Agreement
from phiz.benchmarks.comparison.comparison import Entrant, PeerComparison, _enter
from phiz.benchmarks.comparison.worker_process import WorkerProcess, environment
from phiz.benchmarks.peers import registry
from phiz.benchmarks.peers.registry import PEERS, Peer
from phiz.benchmarks.report import plots, report
from phiz.cli.main import main
from phiz.runtime.opencl.device.device import DeviceInfo

GPU = DeviceInfo("a platform", "a GPU", "OpenCL 3.0", "580.1", "gpu", True, 132, 49152, 2**36, "1:0")


def options(workers: list[str], **more: Any) -> bench.Options:
    return bench.Options(["digits"], [3], 1, 1, workers, startup=False, block=0.001, **more)


# ---------------------------------------------------------------------------------------------------- workers
def test_on_a_gpu_nothing_limits_threads_and_nothing_rounds_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("ALLOW_TF32", "1")
    for name in ("OMP_NUM_THREADS", "POCL_MAX_PTHREAD_COUNT", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    found = environment(3, gpu=True)
    assert not {"JAX_PLATFORMS", "OMP_NUM_THREADS", "POCL_MAX_PTHREAD_COUNT", "XLA_FLAGS"} & set(found)
    assert found["ALLOW_TF32"] == found["NVIDIA_TF32_OVERRIDE"] == "0"
    assert environment(3)["JAX_PLATFORMS"] == "cpu" and "NVIDIA_TF32_OVERRIDE" not in environment(3)


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="the system does not keep processes to processors"
)
def test_sides_on_a_gpu_use_all_processors_and_hear_where_to_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    peer, all_of_them = Peer("x", "X", "fake_peers", "Placed"), len(os.sched_getaffinity(0))
    with WorkerProcess(peer, 1) as limited, WorkerProcess(peer, 1, "cuda", gpu=True) as free:
        assert limited.ask("versions") == "None 1 1"
        assert free.ask("versions") == f"cuda {all_of_them} None"


def test_peers_that_run_on_cpus_only_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name for name, peer in PEERS.items() if not peer.gpu} == {"sklearn", "numpy"}
    assert PEERS["numpy"].missing() is None and PEERS["numpy"].missing(gpu=True) == "NumPy runs on CPUs only"
    assert registry.PHIZ.missing(gpu=True) is None
    monkeypatch.setenv("PATH", "/nowhere")
    compiled = Peer("x", "X", ".x", programs=("g++",), gpu="cuda", gpu_programs=("gcc", "cc"))
    assert compiled.missing() == "X needs a compiler on the path: g++"
    assert compiled.missing(gpu=True) == "X needs a compiler on the path: gcc or cc"
    assert Peer("x", "X", ".x", programs=("clang",), gpu="CUDA").missing(gpu=True) is None


# ----------------------------------------------------------------------------------------------------- record
def test_the_record_and_the_report_say_what_ran_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """phiz itself runs on the device that there is."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(bench, "_device", lambda options: GPU)
    lacking = Peer("jax", "JAX jit", "fake_peers", "Homeless", gpu="gpu")
    placed = Peer("torch", "PyTorch eager", "fake_peers", "Honest", gpu="")
    monkeypatch.setattr(registry, "PEERS", {**PEERS, "jax": lacking, "torch": placed})
    found = bench.bench(options(["jax", "torch", "numpy"]), lambda line: None)
    assert {s["peer"] for s in found["cases"][0]["entrants"]} == {"phiz"}
    assert found["missing"] == [
        "PyTorch eager runs on CPUs only", "NumPy runs on CPUs only", "JAX jit: finds no gpu",
        "memory of gradients: not measured, it is the host's and phiz computes on a GPU",
    ]  # fmt: skip
    machine = found["machine"]
    assert (machine["device"], machine["driver"], machine["gpu"]) == ("a GPU", "580.1", True) and found[
        "memory"
    ] == []
    text = report.markdown(found)
    assert (
        "phiz through OpenCL on a GPU (driver 580.1); peers on the GPU, float32 without TF32; threads are "
        "not limited." in text
    )
    assert f"a GPU beside {machine['processor']}; Python" in text and "threads each" not in text


def test_on_a_cpu_the_record_names_the_device_and_the_report_the_threads() -> None:
    found = bench.bench(options([], memory=False), lambda line: None)
    assert found["machine"]["gpu"] is False and found["machine"]["device"]
    text = report.markdown(found)
    assert "; 1 threads each; Python" in text and "TF32" not in text


def test_an_unknown_device_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--cases", "digits", "--peers", "numpy", "--device", "nowhere"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("load average")]
    assert len(said) == 1 and "no OpenCL device matches 'nowhere', there are " in said[0]


def test_kernels_of_a_gpu_are_launches_of_their_own() -> None:
    peak = {
        "device": "a GPU",
        "dtype": "float32",
        "flops": 6e13,
        "width": 1,
        "accumulators": 8,
        "levels": [],
        "launch": 1e-6,
    }
    machine = {
        "processor": "p",
        "device": "a GPU",
        "driver": "1",
        "gpu": True,
        "python": "3",
        "versions": {},
        "load": 0.0,
    }
    record = {
        "machine": machine,
        "options": {"rounds": 1, "threads": 2, "block": 0.1},
        "peaks": [peak],
        "kernels": [],
    }
    assert report.TIMED_ON_GPU in report._roofline(record, False) and report.TIMED not in report._roofline(
        record, False
    )
    assert report.place(record) == "a GPU beside p"


def test_waits_are_measured_with_the_chosen_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "EVERYTHING", "pass")
    monkeypatch.setattr(startup, "ONE_LAYER", "pass")
    look = (
        "import os\nassert os.environ['PHIZ_DEVICE'] == ':a gpu' and "
        "os.path.isdir(os.environ['CUDA_CACHE_PATH'])"
    )
    monkeypatch.setattr(startup, "GRADIENT", look)
    assert len(startup.waits(1, 1, ":a gpu", gpu=True)) == 4


# ------------------------------------------------------------------------------------------------------ forms
def test_a_goal_about_a_form_is_held_against_all_ways_of_running_it() -> None:
    assert fits("cdist", "cdist") and fits("cdist, CUDA graphs", "cdist") and fits("anything", "")
    assert (
        not fits("cdistance", "cdist")
        and not fits("expanded, CUDA graphs", "cdist")
        and not fits("", "cdist")
    )
    case = Case(MODELS["lenet"], 1, "gradient", "t", (Goal("pytorch", 2),), "cdist")
    entrants = [
        Entrant("phiz", "placed", None, 1, False, [1.0]), Entrant("torch", "cdist", 0.0, 1, False, [5.0]),
        Entrant("torch-compile", "cdist, CUDA graphs", 0.0, 1, False, [3.0]),
        Entrant("torch-compile", "expanded, CUDA graphs", 0.0, 1, False, [0.5]),
    ]  # fmt: skip
    comparison = PeerComparison(case, entrants, [], [])
    (verdict,) = comparison.verdicts()
    assert (verdict.against, verdict.reached) == ("torch-compile (cdist, CUDA graphs)", 3.0)
    assert plots._shown(comparison.record(), "torch-compile")["form"] == "cdist, CUDA graphs"  # type: ignore[index]


def test_the_fastest_form_and_the_fastest_of_the_goal_take_part() -> None:
    case = cases.Case(MODELS["lenet"], 1, "gradient", "t", (), "cdist")
    times = {"cdist": 4.0, "expanded": 3.0, "cdist, CUDA graphs": 2.0, "expanded, CUDA graphs": 1.0}
    comparison = PeerComparison(case, [], [], [])
    _enter(
        comparison,
        "torch-compile",
        {form: (once, {}) for form, once in times.items()},
        Agreement({}, []),
        0.1,
    )
    assert {entrant.form for entrant in comparison.entrants} == {
        "cdist, CUDA graphs",
        "expanded, CUDA graphs",
    }
