"""The code with which peers compute on a GPU, run on the CPU's devices of their libraries; each is
skipped without its library.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from phiz.benchmarks.cases.cases import BY_NAME, Case, Mode
from phiz.benchmarks.cases.models import MODELS
from phiz.benchmarks.cases.problem import PeerForm, Problem, Unsupported
from phiz.benchmarks.comparison.agreement import TOLERANCE, difference
from phiz.benchmarks.peers.own import Reference


def case(name: str, batch: int, mode: Mode) -> Case:
    return Case(BY_NAME[name].at(batch), batch, mode, "t")


CASES = [
    case("digits", 5, "gradient"),
    case("digits", 5, "predict"),
    case("convolution", 1, "pass"),
    case("radial-basis", 3, "gradient"),
]


def check(case: Case, forms: dict[str, PeerForm]) -> None:
    """Every form agrees with phiz's NumPy kernels, also when it is called again."""
    pieces = [slice(s.offset, s.stop) for s in Problem.of(case, []).network.slices]
    reference = Reference.prepare(case, [], 1)[""]
    reference.call()
    for name, form in forms.items():
        for _ in range(2):
            form.call()
            gap, where = difference(reference.results(), form.results(), pieces)
            assert gap < TOLERANCE, (name, where)


# ---------------------------------------------------------------------------------------------------- PyTorch
@pytest.fixture
def peer_torch() -> Iterator[Any]:
    """The peer; what it sets for the whole process is set back."""
    backends = pytest.importorskip("torch").backends
    from phiz.benchmarks.peers import pytorch as peer_torch

    cudnn = backends.cudnn
    kept = backends.cuda.matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    yield peer_torch
    backends.cuda.matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = kept


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pytorch_computes_on_the_device_that_it_is_told(case: Case, peer_torch: Any) -> None:
    check(case, peer_torch.prepare(case, [], 1, device="cpu"))


def test_pytorch_rounds_no_factors_on_a_gpu(peer_torch: Any) -> None:
    backends = peer_torch.torch.backends
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = True
    peer_torch.prepare(CASES[0], [], 1, device="cpu")
    assert not backends.cuda.matmul.allow_tf32 and not backends.cudnn.allow_tf32
    assert peer_torch.torch.get_float32_matmul_precision() == "highest"


def test_compiled_pytorch_has_forms_with_cuda_graphs_on_a_gpu(
    peer_torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[str] = []

    def compile(function: Any, dynamic: bool, mode: str) -> Any:
        modes.append(mode)
        return function

    monkeypatch.setattr(peer_torch.torch, "compile", compile)
    digits, distances = CASES[0], CASES[3]
    check(digits, forms := peer_torch.Compiled.prepare(digits, [], 1, device="cpu"))
    assert list(forms) == ["", "CUDA graphs", "CUDA graphs, fixed parameters"]
    assert modes == ["default", "reduce-overhead", "reduce-overhead"]
    check(distances, forms := peer_torch.Compiled.prepare(distances, [], 1, device="cpu"))
    assert {"cdist", "expanded", "cdist, CUDA graphs", "expanded, CUDA graphs, fixed parameters"} < set(forms)
    modes.clear()
    assert list(peer_torch.Compiled.prepare(digits, [], 1)) == [""] and modes == ["default"]


def test_a_call_on_a_gpu_ends_when_all_is_computed(peer_torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch, said = peer_torch.torch, []
    monkeypatch.setattr(
        torch, "compile", lambda function, dynamic, mode: lambda *a: said.append("compute") or function(*a)
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: said.append(f"wait for {device}"))
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: said.append("begin"))
    monkeypatch.setattr(peer_torch, "_is_cuda", lambda device: device == "cpu")
    forms = peer_torch.Compiled.prepare(CASES[0], [], 1, device="cpu")
    forms[""].call()
    assert said == ["compute", "wait for cpu"]
    said.clear()
    forms["CUDA graphs"].call()
    assert said == ["begin", "compute", "wait for cpu"]


def test_pytorch_without_a_gpu_says_so(peer_torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = peer_torch.torch
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for ask in (peer_torch.versions, peer_torch.Compiled.versions):
        with pytest.raises(Unsupported, match="finds no GPU"):
            ask(device="cuda")
    with pytest.raises(Unsupported, match="finds no GPU"):
        peer_torch.prepare(CASES[0], [], 1, device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert peer_torch.versions(device="cuda").endswith(", CUDA 13.0, a GPU")
    monkeypatch.setattr(peer_torch, "find_spec", lambda name: None)
    with pytest.raises(Unsupported, match="needs Triton"):
        peer_torch.Compiled.versions(device="cuda")


# -------------------------------------------------------------------------------------------------------- JAX
@pytest.fixture
def peer_jax() -> Any:
    pytest.importorskip("jax")
    from phiz.benchmarks.peers import jax_jit as peer_jax

    return peer_jax


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_jax_computes_on_the_device_that_it_is_told(case: Case, peer_jax: Any) -> None:
    check(case, peer_jax.prepare(case, [], 1, device="cpu"))


def test_jax_rounds_no_factors_on_a_gpu_nor_in_derivatives(peer_jax: Any) -> None:
    jax, a = peer_jax.jax, np.ones((3, 3), np.float32)
    image = np.ones((1, 1, 3, 3), np.float32)

    def function(a: Any, y: Any) -> Any:
        z = jax.lax.conv_general_dilated(y, a[None, None], (1, 1), "SAME", dimension_numbers=peer_jax.NCHW)
        return jax.numpy.einsum("ij,nmjk->", a @ a, z)

    text = str(jax.make_jaxpr(peer_jax.whole(jax.value_and_grad(function)))(a, image))
    products = text.count("dot_general[") + text.count("conv_general_dilated[")
    assert products > 4 and text.count("HIGHEST") >= 2 * products - 1 and "precision=None" not in text
    assert "precision=None" in str(jax.make_jaxpr(function)(a, image))


def test_jax_without_a_gpu_says_so(peer_jax: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def devices(name: str) -> Any:
        raise RuntimeError(f"Unknown backend {name}\nand more")

    monkeypatch.setattr(peer_jax.jax, "devices", devices)
    for ask in (lambda: peer_jax.versions("gpu"), lambda: peer_jax.prepare(CASES[0], [], 1, device="gpu")):
        with pytest.raises(Unsupported, match=r"JAX .* finds no GPU \(Unknown backend gpu\)"):
            ask()


# --------------------------------------------------------------------------------------------------- tinygrad
def test_tinygrad_without_a_gpu_says_so() -> None:
    pytest.importorskip("tinygrad")
    from phiz.benchmarks.peers import tinygrad_jit

    with pytest.raises(Unsupported, match="tinygrad cannot use NOWHERE"):
        tinygrad_jit.prepare(CASES[0], [], 1, device="NOWHERE")
    assert tinygrad_jit.versions().endswith(", CPU")


def test_cases_of_these_tests_are_those_of_the_command() -> None:
    assert CASES[0].model is MODELS["digits"] and len({case.name for case in CASES}) == len(CASES)
