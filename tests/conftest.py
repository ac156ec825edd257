"""Tests neither see nor change what the user tuned; the longest files begin first, and the broadest are
built quickly.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

_FOLDER = tempfile.TemporaryDirectory(prefix="phiz_tests_")
os.environ["PHIZ_CACHE"] = _FOLDER.name

TESTS = Path(__file__).parent
LONGEST = (
    "test_other_devices.py",
    "runtime/tuner/trials/test_kernel_configs.py",
    "test_notebooks.py",
    "runtime/tuner/trials/test_choices.py",
    "runtime/opencl/launch/test_fused.py",
    "runtime/opencl/launch/test_grouped.py",
    "runtime/opencl/plan/test_reduction_groups.py",
    "runtime/verify/test_verify.py",
    "runtime/opencl/plan/test_constant_launches.py",
    "test_user_definitions.py",
    "runtime/network/test_builtin.py",
    "runtime/opencl/test_sample_outer.py",
    "cases/test_convolution.py",
    "runtime/opencl/plan/test_local_copies.py",
    "benchmarks/paper/rig/test_kernels.py",
    "benchmarks/comparison/test_comparison.py",
    "test_wheel.py",
)
"""A file stays on one worker: a long one that begins last keeps a single core busy while the others
have nothing left to do.
"""

QUICKLY_BUILT = {
    "benchmarks/test_bench_command.py",
    "benchmarks/comparison/test_comparison.py",
    "benchmarks/kernels/test_kernel_times.py",
    "benchmarks/paper/rig/test_kernels.py",
    "cases/test_convolution.py",
    "cases/test_irregular.py",
    "cases/test_multilayer.py",
    "cases/test_pooling.py",
    "cases/test_radial_basis.py",
    "cli/test_verify_command.py",
    "runtime/network/test_backends.py",
    "runtime/network/test_builtin.py",
    "runtime/opencl/plan/test_constant_launches.py",
    "runtime/opencl/plan/test_local_copies.py",
    "runtime/opencl/launch/test_grouped.py",
    "runtime/opencl/plan/test_partial_sums.py",
    "runtime/opencl/test_sample_outer.py",
    "runtime/opencl/plan/test_reduction_groups.py",
    "runtime/verify/test_verify.py",
    "test_user_definitions.py",
    "runtime/tuner/trials/test_choices.py",
}
"""What these ask is whether a text computes the right thing, of hundreds of kernels, most of whose time is
the compiler's: it is told not to optimize.  So are single tests with the mark ``quickly_built``:
configurations of single launches, which no CPU runs with unless asked to.  Fused passes under random
configurations, networks in training and everything else run as users run them.
"""


@pytest.fixture(autouse=True)
def compiler(request: pytest.FixtureRequest) -> None:
    """How the test's kernels are built; programs are kept by their text, so they are forgotten where
    that changes.
    """
    name = request.path.relative_to(TESTS).as_posix()
    options = (
        "-cl-opt-disable" if name in QUICKLY_BUILT or request.node.get_closest_marker("quickly_built") else ""
    )
    if options != os.environ.get("PYOPENCL_BUILD_OPTIONS", ""):
        from phiz.runtime.opencl.device import programs

        os.environ["PYOPENCL_BUILD_OPTIONS"] = options
        programs._build.cache_clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By length, the order within a file as it is; xdist keeps to it with ``--no-loadscope-reorder``."""
    turns = {TESTS / name: turn for turn, name in enumerate(LONGEST)}
    items.sort(key=lambda item: turns.get(item.path, len(turns)))
