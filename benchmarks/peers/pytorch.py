"""PyTorch as a peer: every form of a network that a person might write, eager or compiled."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..cases.cases import Case
from ..cases.problem import Array, PeerForm, Problem, Results, Unsupported, gathered, passed
from .torch_layers import ACTIVATIONS, FAMILIES, Style, styles

GRAPHS = "reduce-overhead"


@dataclass(frozen=True)
class Way:
    """How a function runs: eagerly, or compiled in a ``mode`` of ``torch.compile``, of which ``GRAPHS``
    records CUDA graphs.

    ``fixed``: leaves are ``nn.Parameter``, as in a module, which graphs read where they are instead of
    copying them in every call.  A form of its own, as PyTorch 2.13 compiles wrong gradients of convolutions
    with them on CPUs: what is wrong is refused.
    """

    name: str = ""
    mode: str | None = None
    fixed: bool = False


EAGER = (Way(),)
COMPILED = (Way(mode="default"),)
COMPILED_ON_GPU = (
    *COMPILED,
    Way("CUDA graphs", GRAPHS),
    Way("CUDA graphs, fixed parameters", GRAPHS, fixed=True),
)


# ------------------------------------------------------------------------------------------------------ forms
def versions(device: str | None = None) -> str:
    """What runs; Unsupported where ``device`` is "cuda" and there is none."""
    _check(device)
    where = f", CUDA {torch.version.cuda}, {torch.cuda.get_device_name(device)}" if _is_cuda(device) else ""
    return f"PyTorch {torch.__version__}{where}"


def prepare(
    case: Case, folders: Sequence[str], threads: int, device: str | None = None, compiled: bool = False
) -> dict[str, PeerForm]:
    """A form per style of the network (compiled on a GPU: and per way of running it).

    ``device``: "cuda", or None for ``threads`` threads of the CPU.  Unsupported where it is not there.
    """
    _check(device)
    if device is None:
        torch.set_num_threads(threads)
    else:
        _full_precision()
    if compiled:
        # all cases share the code of a few functions, which may be compiled for so many only
        torch.compiler.reset()
    problem = Problem.of(case, folders)
    family, known = styles(problem.network.layers)
    ways = EAGER if not compiled else COMPILED if device is None else COMPILED_ON_GPU
    return {
        ", ".join(filter(None, (name, way.name))): _Computation(
            problem, family, style, way, device or "cpu"
        ).form()
        for way in ways
        for name, style in known.items()
        if style.compiled or not compiled
    }


def in_double(case: Case, folders: Sequence[str], threads: int, device: str | None = None) -> Results:
    """What float64 gives, whose rounding float32 does not see: the judge where two peers differ."""
    torch.set_num_threads(threads)
    problem = Problem.of(case, folders).in_double()
    family, known = styles(problem.network.layers)
    form = _Computation(problem, family, next(iter(known.values())), EAGER[0], "cpu").form()
    form.call()
    return form.results()


def _check(device: str | None) -> None:
    if _is_cuda(device) and not torch.cuda.is_available():
        raise Unsupported(f"PyTorch {torch.__version__} finds no GPU")


def _is_cuda(device: str | None) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _full_precision() -> None:
    """On GPUs: products of whole float32 numbers (not TF32), and the fastest of cuDNN's algorithms for
    these shapes.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True


class Compiled:
    """``torch.compile`` with its default backend (inductor), which needs a C++ compiler on CPUs and
    Triton on GPUs.
    """

    @staticmethod
    def versions(device: str | None = None) -> str:
        """What runs; Unsupported as ``versions``, and where ``device`` is "cuda" without Triton."""
        known = versions(device)
        if not _is_cuda(device):
            return f"{known}, inductor, {os.environ.get('CXX', 'g++')}"
        if find_spec("triton") is None:
            raise Unsupported("compiling for a GPU needs Triton, which is not installed")
        return f"{known}, inductor, Triton {version('triton')}"

    @staticmethod
    def prepare(
        case: Case, folders: Sequence[str], threads: int, device: str | None = None
    ) -> dict[str, PeerForm]:
        """As ``prepare``, compiled for exactly these shapes."""
        return prepare(case, folders, threads, device, compiled=True)


class _Computation:
    """One style of a network, run in one way, with its tensors on ``device``."""

    def __init__(self, problem: Problem, family: str, style: Style, way: Way, device: str) -> None:
        self.problem, self.device, self.graphs = problem, device, way.mode == GRAPHS
        self.unpack: list[Callable[[Array], Array]] = []
        layers = problem.network.layers
        self.leaves = [
            self._leaf(style, name, value, layers[owner].spec.family == family)
            for owner, name, value in problem.leaves()
        ]
        arrays = problem.inputs, problem.targets, problem.delta
        self.inputs, self.targets, self.delta = (torch.from_numpy(a).to(device) for a in arrays)
        if style.channels_last:
            self.inputs = self.inputs.contiguous(memory_format=torch.channels_last)
        chain = problem.chain({**FAMILIES, family: style.step}, ACTIVATIONS)
        loss = problem.case.model.loss
        if problem.case.mode == "pass":
            self.inputs.requires_grad_()
        if way.fixed:
            self.leaves = [torch.nn.Parameter(leaf.detach()) for leaf in self.leaves]
        if self.graphs:  # the samples stay where they are, so that no call needs to copy them
            for tensor in (self.inputs, self.targets):
                torch._dynamo.mark_static_address(tensor)
        softmax = problem.network.layers[-1].spec.family == "softmax"

        def value(leaves: Sequence[Any], x: Any, t: Any) -> Any:
            y = chain(leaves, x)
            if loss == "ce":
                return F.cross_entropy(y, t, reduction="sum")
            return 0.5 * (y.flatten(1) - t).square().sum()

        def outputs(leaves: Sequence[Any], x: Any) -> Any:
            y = chain(leaves, x)
            return torch.softmax(y, 1) if softmax else y

        function: Callable[..., Any] = value if problem.case.mode == "gradient" else outputs
        self.function = (
            function if way.mode is None else torch.compile(function, dynamic=False, mode=way.mode)
        )
        self.found: tuple[Any, ...] = ()

    def _leaf(self, style: Style, name: str, value: Array, styled: bool) -> Any:
        pack, unpack = (
            style.packs[name](value.shape) if styled and name in style.packs else (np.array, lambda g: g)
        )
        self.unpack.append(unpack)
        leaf = torch.from_numpy(pack(value)).to(self.device)
        if style.channels_last and leaf.dim() == 4:
            leaf = leaf.contiguous(memory_format=torch.channels_last)
        return leaf.requires_grad_()

    def form(self) -> PeerForm:
        """The calls: one ends when all of it is computed."""
        compute = {"gradient": self._gradient, "pass": self._pass}.get(self.problem.case.mode, self._forward)
        if not _is_cuda(self.device):
            return PeerForm(compute, self._results)

        def call() -> None:
            if self.graphs:  # what the call before returned may be overwritten
                torch.compiler.cudagraph_mark_step_begin()
            compute()
            torch.cuda.synchronize(self.device)

        return PeerForm(call, self._results)

    def _gradient(self) -> None:
        value = self.function(self.leaves, self.inputs, self.targets)
        gradients = torch.autograd.grad(
            value, self.leaves
        )  # before the value is asked for, which waits for it
        self.found = (value.item(), gradients)

    def _forward(self) -> None:
        with torch.no_grad():
            self.found = (self.function(self.leaves, self.inputs),)

    def _pass(self) -> None:
        y = self.function(self.leaves, self.inputs)
        self.found = (y, torch.autograd.grad(y, [self.inputs, *self.leaves], self.delta.view(y.shape)))

    def _results(self) -> Results:
        mode = self.problem.case.mode
        if mode == "gradient":
            return gathered(self.found[0], self._arrays(self.found[1]))
        outputs = _array(self.found[0])
        if mode != "pass":
            return {"outputs": outputs.reshape(len(outputs), -1)}
        below, *gradients = self.found[1]
        return passed(outputs, _array(below), self._arrays(gradients))

    def _arrays(self, gradients: Sequence[Any]) -> list[Array]:
        return [unpack(_array(g)) for unpack, g in zip(self.unpack, gradients, strict=True)]


def _array(tensor: Any) -> Array:
    """On the host, in C order; a copy where the tensor is on a GPU."""
    array: Array = tensor.detach().contiguous().cpu().numpy()
    return array
