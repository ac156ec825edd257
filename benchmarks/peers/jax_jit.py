"""JAX as a peer: the whole gradient in one ``jit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...runtime.program.layer import Layer
from ..cases.cases import Case
from ..cases.problem import PeerForm, Problem, Results, Step, Unsupported, gathered, geometry, passed, window

NCHW = ("NCHW", "OIHW", "NCHW")
ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "linear": lambda z: z,
    "tanh": jnp.tanh,
    "scaled_tanh": lambda z: 1.7159 * jnp.tanh(z * (2 / 3)),
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
}


def _flat(y: Any) -> Any:
    return y.reshape(len(y), -1)


def _convolution(one: Layer) -> Step:
    stride, padding, dilation = geometry(one)

    def step(p: Mapping[str, Any], y: Any) -> Any:
        z = jax.lax.conv_general_dilated(
            y, p["w"], stride, [(n, n) for n in padding], rhs_dilation=dilation, dimension_numbers=NCHW
        )
        return z + p["b"][:, None, None] if "b" in p else z

    return step


def _max_pooling(one: Layer) -> Step:
    extent = (1, 1, *window(one))
    return lambda p, y: jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, extent, extent, "VALID")


def _affine(one: Layer) -> Step:
    return lambda p, y: _flat(y) @ p["w"].T + p.get("b", 0)


def _radial_basis(one: Layer) -> Step:
    def step(p: Mapping[str, Any], y: Any) -> Any:
        y, c = _flat(y), p["c"]
        return jnp.exp(-p["beta"] * ((y * y).sum(1, keepdims=True) + (c * c).sum(1) - 2 * y @ c.T))

    return step


def _locally_connected(one: Layer) -> Step:
    kernel, stride = ([int(one.sizes[f"{name}{r}"]) for r in range(2)] for name in ("M", "k"))

    def step(p: Mapping[str, Any], y: Any) -> Any:
        patches = jax.lax.conv_general_dilated_patches(y, kernel, stride, "VALID")
        w = p["w"]
        packed = w.transpose(0, 1, 4, 5, 2, 3).reshape(w.shape[0], -1, *w.shape[2:4])
        return jnp.einsum("nkxy,ikxy->nixy", patches, packed) + p["b"]

    return step


def _bilinear(one: Layer) -> Step:
    def step(p: Mapping[str, Any], y: Any) -> Any:
        y = _flat(y)
        return (jnp.einsum("nj,ijk->nik", y, p["w"]) * y[:, None]).sum(2)[..., None]

    return step


FAMILIES: Mapping[str, Callable[[Layer], Step]] = {
    "convolution": _convolution, "max_pooling": _max_pooling, "dense": _affine, "softmax": _affine,
    "radial_basis": _radial_basis, "locally_connected": _locally_connected, "bilinear": _bilinear,
}  # fmt: skip


def versions(device: str | None = None) -> str:
    """Names what runs; Unsupported as ``prepare``."""
    place = _place(device)
    return (
        f"JAX {jax.__version__}, "
        f"{place.platform if device is None else f'{place.platform}, {place.device_kind}'}"
    )


def _place(device: str | None) -> Any:
    try:
        return jax.devices(device or "cpu")[0]
    except RuntimeError as error:
        lines = str(error).strip().splitlines() or [""]
        raise Unsupported(f"JAX {jax.__version__} finds no GPU ({lines[0][:200]})") from None


def whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with products of whole float32 numbers (not TF32), its derivatives too where it
    takes them.
    """

    def run(*arguments: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return function(*arguments)

    return run


def prepare(
    case: Case, folders: Sequence[str], threads: int, device: str | None = None
) -> dict[str, PeerForm]:
    """One form.  ``device``: "gpu", or None for the CPU.  Unsupported where JAX has none."""
    place = _place(device)
    problem = Problem.of(case, folders)
    chain, mode, loss = problem.chain(FAMILIES, ACTIVATIONS), case.mode, case.model.loss
    leaves = [jax.device_put(value, place) for _, _, value in problem.leaves()]
    x, t, d = (jax.device_put(a, place) for a in (problem.inputs, problem.targets, problem.delta))
    softmax = problem.network.layers[-1].spec.family == "softmax"

    def value(parameters: Any, x: Any, t: Any) -> Any:
        y = chain(parameters, x)
        return -(t * jax.nn.log_softmax(y)).sum() if loss == "ce" else 0.5 * jnp.square(_flat(y) - t).sum()

    def outputs(parameters: Any, x: Any) -> Any:
        y = chain(parameters, x)
        return jax.nn.softmax(y) if softmax else y

    def through(parameters: Any, x: Any, delta: Any) -> Any:
        y, pull = jax.vjp(outputs, parameters, x)
        return y, pull(delta.reshape(y.shape))

    function, arguments = {
        "gradient": (jax.value_and_grad(value), (leaves, x, t)),
        "pass": (through, (leaves, x, d)),
    }.get(mode, (outputs, (leaves, x)))
    jitted = jax.jit(function if device is None else whole(function))
    found: list[Any] = [None]

    def call() -> None:
        found[0] = jax.block_until_ready(jitted(*arguments))

    def results() -> Results:
        if mode == "gradient":
            return gathered(found[0][0], [np.asarray(g) for g in found[0][1]])
        if mode == "pass":
            y, (gradients, below) = found[0]
            return passed(np.asarray(y), np.asarray(below), [np.asarray(g) for g in gradients])
        return {"outputs": np.asarray(_flat(found[0]))}

    return {"": PeerForm(call, results)}
