"""phiz as a peer in the comparison: through OpenCL ("phiz") or its NumPy reference kernels ("numpy")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...runtime.backend import Request, Result
from ...runtime.network.network import Placed
from ...runtime.opencl.backend import OpenCLExecutor
from ..cases.cases import Case
from ..cases.problem import Array, PeerForm, Problem, Results, gathered, passed

BACKWARD = Request(gradients="sum", input_gradient=True)


def versions(device: str | None = None) -> str:
    """The versions of phiz and PyOpenCL, which do not depend on the device."""
    from importlib.metadata import version

    return f"phiz {version('phiz')}, PyOpenCL {version('pyopencl')}"


def prepare(
    case: Case, folders: Sequence[str], threads: int, device: str | None = None
) -> dict[str, PeerForm]:
    """Prepares a case in two forms.

    "placed": samples (and the delta) lie on the device.
    "host": host arrays go in and come out.
    """
    problem = Problem.of(case, folders, "opencl", device)
    return {"placed": _placed(problem), "host": _host(problem)}


def _host(problem: Problem) -> PeerForm:
    network, parameters, inputs = problem.network, problem.parameters, problem.inputs
    if problem.case.mode == "gradient":
        found: list[Any] = [None]

        def gradient() -> None:
            found[0] = network.value_and_gradient(parameters, inputs, problem.targets)

        return PeerForm(gradient, lambda: gathered(found[0][0], [found[0][1]]))
    if problem.case.mode == "pass":
        return _host_pass(problem)
    last: list[Array] = [inputs]

    def forward() -> None:
        last[0] = network.forward(parameters, inputs)

    return PeerForm(forward, lambda: {"outputs": last[0].reshape(len(inputs), -1)})


def _host_pass(problem: Problem) -> PeerForm:
    network = problem.network
    kept: dict[str, Result] = {}
    inputs = problem.inputs.reshape(len(problem.inputs), -1)

    def call() -> None:
        executor = network.executor(len(inputs))
        executor.set_parameters(problem.parameters)
        resident = executor.upload(inputs, None, None, slot=0)
        kept["outputs"] = executor.start(resident, Request(outputs=True, keep=True)).result()
        kept["rest"] = executor.seeded(resident, problem.delta.T, BACKWARD).result()

    def results() -> Results:
        outputs, rest = kept["outputs"].outputs, kept["rest"]
        assert outputs is not None and rest.input_gradient is not None and rest.gradient is not None
        return passed(outputs, rest.input_gradient, [rest.gradient])

    return PeerForm(call, results)


def _placed(problem: Problem) -> PeerForm:
    network, parameters = problem.network, problem.parameters
    if problem.case.mode == "gradient":
        placed = network.place(problem.inputs, problem.targets)
        found: list[Any] = [None]

        def gradient() -> None:
            found[0] = network.value_and_gradient(parameters, placed)

        return PeerForm(gradient, lambda: gathered(found[0][0], [found[0][1]]))
    placed = network.place(problem.inputs)
    executor, (_, resident) = placed.executor, placed.parts[0]
    if len(placed.parts) != 1 and problem.case.mode == "predict":
        return _in_parts(problem, placed)
    if len(placed.parts) != 1:
        raise ValueError(f"{problem.case.name}: needs {len(placed.parts)} passes, expected 1")
    executor.set_parameters(parameters)
    if problem.case.mode == "predict":
        outputs = [problem.inputs]

        def predict() -> None:
            outputs[0] = executor.start(resident, Request(outputs=True)).result().outputs  # type: ignore[assignment]

        return PeerForm(predict, lambda: {"outputs": outputs[0]})
    assert isinstance(executor, OpenCLExecutor)
    return _resident(problem, executor, resident)


def _in_parts(problem: Problem, placed: Placed) -> PeerForm:
    """Outputs of more samples than a pass takes."""
    found: list[Array] = [problem.inputs]

    def predict() -> None:
        found[0] = problem.network.forward(problem.parameters, placed)

    return PeerForm(predict, lambda: {"outputs": found[0].reshape(len(placed), -1)})


def _resident(problem: Problem, executor: OpenCLExecutor, resident: Any) -> PeerForm:
    """Runs the kernels alone.

    Outputs, deltas and gradients stay on the device, just as the peers' results stay where they are computed.
    """
    both = problem.case.mode == "pass"

    def results() -> Results:
        outputs = executor.start(resident, Request(outputs=True, keep=both)).result().outputs
        assert outputs is not None
        if not both:
            return {"outputs": outputs}
        rest = executor.seeded(resident, problem.delta.T, BACKWARD).result()
        assert rest.input_gradient is not None and rest.gradient is not None
        return passed(outputs, rest.input_gradient, [rest.gradient])

    passes = [executor.bound("loss", resident, Request(keep=both))]
    passes += [executor.bound("delta", resident, BACKWARD, problem.delta.T)] if both else []

    def call() -> None:
        for one in passes:
            one.run()
        executor.queue.finish()

    return PeerForm(call, results)


# -------------------------------------------------------------------------------------------------- reference
class Reference:
    """phiz's NumPy kernels as a peer of their own."""

    @staticmethod
    def versions() -> str:
        """The version of NumPy, whose kernels these are."""
        import numpy as np

        return f"NumPy {np.__version__}, phiz's reference kernels"

    @staticmethod
    def prepare(case: Case, folders: Sequence[str], threads: int) -> dict[str, PeerForm]:
        """Prepares a case in its only form, whose arrays are always on the host."""
        problem = Problem.of(case, folders, "numpy")
        return {"": _host(problem)}


Prepare = Callable[..., dict[str, PeerForm]]
