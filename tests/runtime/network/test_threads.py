"""One network in several threads, several networks side by side, and processes that were forked: the
same bits, or one line.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from phiz.runtime import Network, layer
from phiz.runtime.opencl.device import device as devices

LAYERS = (
    layer("convolution", maps=3, kernel=3, activation="tanh"),
    layer("max_pooling", window=2),
    layer("dense", maps=7, activation="sigmoid"),
    layer("softmax", maps=4),
)
SHAPE = (1, 8, 8)


def batch(seed: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(samples, *SHAPE)), np.eye(4)[random.integers(0, 4, samples)]


def together(works: list[Callable[[], None]]) -> None:
    """Each in a thread, begun at the same moment; the first error is raised here."""
    gate, errors = threading.Barrier(len(works)), []

    def run(work: Callable[[], None]) -> None:
        gate.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def bits(found: Any) -> bytes:
    return b"".join(np.asarray(part).tobytes() for part in (found if isinstance(found, tuple) else (found,)))


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_threads_share_a_network(backend: str) -> None:
    """Every kind of evaluation, batches of several sizes, parameters of their own: what a thread gets
    is what it gets alone.
    """
    network = Network(LAYERS, SHAPE, "ce", backend=backend, micro_batch=16)
    random = np.random.default_rng(0)
    cases = [
        (batch(n, samples), network.parameters + random.normal(size=network.parameter_count) * 0.1)
        for n, samples in enumerate((20, 5, 33, 16))
    ]

    def everything(case: int) -> list[bytes]:
        (x, t), p = cases[case]
        return [
            bits(network.value_and_gradient(p, x, t)),
            bits(network.forward(p, x)),
            bits(network.losses(p, x, t)),
            bits(network.per_sample_gradients(p, x, t)),
            bits(network.input_gradient(p, x, t)),
        ]

    alone = [everything(case) for case in range(len(cases))]
    wrong: list[int] = []

    def work(case: int) -> Callable[[], None]:
        return lambda: wrong.extend(case for _ in range(25) if everything(case) != alone[case])

    together([work(case) for case in range(len(cases))])
    assert wrong == []


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_threads_share_placed_samples(backend: str) -> None:
    network = Network(LAYERS, SHAPE, "ce", backend=backend, micro_batch=16)
    x, t = batch(1, 40)
    placed = network.place(x, t)
    points = [network.parameters + 0.01 * n for n in range(4)]
    alone = [bits(network.value_and_gradient(p, placed)) for p in points]
    wrong: list[int] = []

    def work(n: int) -> Callable[[], None]:
        return lambda: wrong.extend(
            n for _ in range(40) if bits(network.value_and_gradient(points[n], placed)) != alone[n]
        )

    together([work(n) for n in range(len(points))])
    assert wrong == []


def test_networks_are_built_side_by_side() -> None:
    """Contexts, programs and expressions are shared by all threads."""
    program = """
import sys, threading
import numpy as np
from phiz.runtime import Network, layer
found, gate = {}, threading.Barrier(4)
def build(n):
    gate.wait()
    network = Network([layer("dense", maps=5 + n % 2, activation="tanh"), layer("softmax", maps=3)], (6,), backend="opencl")
    x, t = np.ones((9, 6)), np.eye(3)[np.arange(9) % 3]
    found[n] = network.value_and_gradient(network.parameters, x, t)[0]
threads = [threading.Thread(target=build, args=(n,)) for n in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert sorted(found) == [0, 1, 2, 3] and found[0] == found[2] and found[1] == found[3], found
"""  # noqa: E501
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_memory_of_a_thread_goes_with_it() -> None:
    network = Network(LAYERS, SHAPE, "ce", backend="numpy")
    x, t = batch(2, 8)
    network.value_and_gradient(network.parameters, x, t)
    own = network.executor(8)
    theirs: list[Any] = []

    def work() -> None:
        network.value_and_gradient(network.parameters, x, t)
        theirs.append(id(network.executor(8)))

    together([work, work])
    assert network.executor(8) is own and id(own) not in theirs
    assert len(network._executors.built) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are never forked here")
def test_a_forked_child_says_why_it_cannot_go_on() -> None:
    """It hung.  NumPy goes on, and so does OpenCL where the parent had not used it."""
    program = """
import os, sys
import numpy as np
from phiz.runtime import Network, layer
from phiz.runtime.errors import DeviceError
def network(backend): return Network([layer("dense", maps=3)], (4,), "mse", backend=backend)
def evaluate(net): return net.value_and_gradient(net.parameters, np.ones((5, 4)), np.ones((5, 3)))[0]
def forked(action):
    child = os.fork()
    if not child:
        try:
            action()
        except DeviceError as error:
            print(f"refused: {error}", flush=True)
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
codes = [forked(lambda: evaluate(network("opencl")))]
used, numpy = network("opencl"), network("numpy")
evaluate(used), evaluate(numpy)
codes += [forked(lambda: evaluate(used)), forked(lambda: evaluate(network("opencl"))), forked(lambda: evaluate(numpy))]
evaluate(used)
print(codes)
"""  # noqa: E501
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    lines = done.stdout.splitlines()
    assert lines[-1] == "[0, 3, 3, 0]", done.stdout + done.stderr
    assert len(lines) == 3 and all(
        line.startswith("refused: this process was forked from one") for line in lines[:2]
    )


def test_a_context_is_made_once_for_all_threads() -> None:
    device, found = devices.choose(), []
    together([lambda: found.append(devices.context(device))] * 8)
    assert len({id(context) for context in found}) == 1
