"""What a check says: where, what was expected, what came; keys of tables by name, however deep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.runtime.errors import ManifestError, PhizError
from phiz.runtime.manifest.loading import builtin_path
from phiz.runtime.manifest.reading import manifest_file
from phiz.runtime.schema.check import checked, plain


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("x", int, "it: expected a whole number, got text"),
        ({"a": [1, "x"]}, dict[str, list[int]], "it: a[1]: expected a whole number, got text"),
        (
            {"a": {"c": 1}, "b": {"c": 1, "d": []}},
            dict[str, dict[str, int]],
            "it: b.d: expected a whole number, got a list",
        ),
        (
            [{"a": {}}, {"b": {"c": None}}],
            list[dict[str, dict[str, str]]],
            "it: [1].b.c: expected text, got nothing",
        ),
        (np.random, str | None, "it: expected text or nothing, got module"),
    ],
)
def test_the_path_of_what_is_wrong(value: Any, kind: Any, message: str) -> None:
    with pytest.raises(PhizError) as caught:
        checked(value, kind, "it")
    assert str(caught.value) == message


def test_what_counts_as_plain(tmp_path: Path) -> None:
    given = {"a": np.float32(0.5), "b": np.arange(2), "c": (1, tmp_path)}
    assert plain(given) == {"a": 0.5, "b": [0, 1], "c": [1, str(tmp_path)]}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("layers.dense.sizes.0.sourcx", "x", "layers.dense.sizes[0]: unknown entry 'sourcx'"),
        (
            "layers.dense.kernels.0.launches.sample_inner.unroll",
            4,
            "layers.dense.kernels[0].launches.sample_inner.unroll: expected text, got a whole number",
        ),
        ("losses.mse.pairs.tanh", {"value": "a"}, "losses.mse.pairs.tanh: missing entry 'delta'"),
        ("activations.tanh.range", [0], "activations.tanh.range: expected a list of length 2, got 1"),
    ],
)
def test_entries_of_the_manifest_by_their_path(path: str, value: Any, message: str) -> None:
    data = json.loads((builtin_path() / "manifest.json").read_text())
    manifest_file(data, "manifest.json")
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    table = data
    for step in steps:
        table = table[step]
    table[last] = value
    with pytest.raises(ManifestError) as caught:
        manifest_file(data, "manifest.json")
    assert str(caught.value) == f"manifest.json: {message}"


def test_the_library_is_not_imported_before_something_is_checked() -> None:
    program = (
        "import sys; from phiz.runtime import Network, layer, minimize; import phiz.cli.main; "
        "print('msgspec' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
