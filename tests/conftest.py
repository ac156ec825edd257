"""Tests neither see nor change what the user tuned; the longest files begin first."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

_FOLDER = tempfile.TemporaryDirectory(prefix="phiz_tests_")
os.environ["PHIZ_CACHE"] = _FOLDER.name

TESTS = Path(__file__).parent
LONGEST = (
    "tuner/test_schedules.py",
    "test_notebooks.py",
    "runtime/test_opencl_fused.py",
    "runtime/test_verify.py",
    "tuner/test_choices.py",
    "test_user_definitions.py",
    "runtime/test_builtin.py",
    "cases/test_convolution.py",
    "codegen/test_opencl_printer.py",
)
"""A file stays on one worker: a long one that begins last keeps a single core busy while the others have nothing left to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By length, the order within a file as it is; xdist keeps to it with ``--no-loadscope-reorder``."""
    turns = {TESTS / name: turn for turn, name in enumerate(LONGEST)}
    items.sort(key=lambda item: turns.get(item.path, len(turns)))
