"""tinygrad as a peer, on its CPU device (which compiles with clang) or on a GPU, captured by ``TinyJit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinygrad import Device, Tensor, TinyJit

from ...runtime.program.layer import Layer
from ..cases.cases import Case
from ..cases.problem import PeerForm, Problem, Results, Step, Unsupported, gathered, geometry, passed, window

CPU = "CPU"
ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "linear": lambda z: z,
    "tanh": lambda z: z.tanh(),
    "scaled_tanh": lambda z: 1.7159 * (z * (2 / 3)).tanh(),
    "relu": lambda z: z.relu(),
    "sigmoid": lambda z: z.sigmoid(),
}


def _convolution(one: Layer) -> Step:
    stride, padding, dilation = geometry(one)
    return lambda p, y: y.conv2d(p["w"], p.get("b"), stride=stride, padding=tuple(padding), dilation=dilation)


def _max_pooling(one: Layer) -> Step:
    return lambda p, y: y.max_pool2d(tuple(window(one)))


def _affine(one: Layer) -> Step:
    return lambda p, y: y.flatten(1).linear(p["w"].T, p.get("b"))


def _radial_basis(one: Layer) -> Step:
    def step(p: Mapping[str, Any], y: Any) -> Any:
        y, c = y.flatten(1), p["c"]
        return (-p["beta"] * (y.square().sum(1, keepdim=True) + c.square().sum(1) - 2 * y @ c.T)).exp()

    return step


FAMILIES: Mapping[str, Callable[[Layer], Step]] = {
    "convolution": _convolution,
    "max_pooling": _max_pooling,
    "dense": _affine,
    "softmax": _affine,
    "radial_basis": _radial_basis,
}


def versions(device: str | None = None) -> str:
    """Names what runs; Unsupported as ``prepare``."""
    from importlib.metadata import version

    return f"tinygrad {version('tinygrad')}, {_opened(device)}"


def _opened(device: str | None) -> str:
    """tinygrad's name of the device.

    A GPU is asked to compute something, as only that tells whether it can.
    """
    if device is None:
        return CPU
    try:
        (Tensor([1.0], device=device) + 1).realize()
    except Exception as error:  # whatever a driver or a compiler that is not there leads to
        lines = str(error).strip().splitlines() or [""]
        raise Unsupported(
            f"tinygrad cannot use {device} ({type(error).__name__}: {lines[0][:200]})"
        ) from None
    return device


def prepare(
    case: Case, folders: Sequence[str], threads: int, device: str | None = None
) -> dict[str, PeerForm]:
    """One form.  ``device``: "CUDA", or None for the CPU.  Unsupported where tinygrad cannot use it."""
    place = _opened(device)
    problem = Problem.of(case, folders)
    chain, mode, loss = problem.chain(FAMILIES, ACTIVATIONS), case.mode, case.model.loss
    leaves = [Tensor(value, device=place).realize() for _, _, value in problem.leaves()]
    x, t, d = (Tensor(a, device=place).realize() for a in (problem.inputs, problem.targets, problem.delta))
    softmax = problem.network.layers[-1].spec.family == "softmax"

    @TinyJit
    def step() -> tuple[Any, ...]:
        y = chain(leaves, x)
        if mode == "gradient":
            value = (
                -(t * y.log_softmax(axis=1)).sum()
                if loss == "ce"
                else 0.5 * (y.flatten(1) - t).square().sum()
            )
            gradients = value.gradient(*leaves)
            return value.realize(*gradients), *gradients
        if mode == "pass":
            gradients = (y * d.reshape(y.shape)).sum().gradient(x, *leaves)
            return y.realize(*gradients), *gradients
        return ((y.softmax(axis=1) if softmax else y).realize(),)

    found: list[Any] = [None]

    def call() -> None:
        found[0] = step()
        Device[place].synchronize()

    def results() -> Results:
        first, *rest = (tensor.numpy() for tensor in found[0])
        if mode == "gradient":
            return gathered(first, rest)
        if mode == "pass":
            return passed(first, rest[0], rest[1:])
        return {"outputs": first.reshape(len(first), -1)}

    return {"": PeerForm(call, results)}
