"""Bad arguments and files end in one clear line: some draws of ``bad_input.py``, and what it must find.

``python -m tests.bad_input --count 1500`` draws any number.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from phiz.runtime import Network, layer, minimize
from phiz.runtime.errors import PhizError
from phiz.runtime.network.architectures import architecture
from phiz.runtime.training.settings import Settings

from tests.bad_input import KINDS, Draw, bench, deep, draw, found, verdict

DRAWS = 150


def test_draws_of_bad_arguments_and_files_end_in_one_line() -> None:
    raw = found(DRAWS, seed=16)
    assert not raw, "\n".join(f"{one.number} {one.kind}: {one.what}: {one.error}" for one in raw)


def test_every_kind_is_drawn_and_the_same_again(tmp_path: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        made = bench(tmp_path)
    drawn = [draw(16, number, made) for number in range(DRAWS)]
    assert len({one.kind for one in drawn}) == len(set(KINDS))
    again = [draw(16, number, made).what for number in range(DRAWS)]
    assert [one.what for one in drawn if "0x" not in one.what] == [what for what in again if "0x" not in what]


def test_what_is_raw_is_found() -> None:
    def two_lines() -> None:
        raise SystemExit("one\ntwo")

    assert verdict(Draw("", "", lambda: 1 / 0)).startswith("ZeroDivisionError")
    assert verdict(Draw("", "", two_lines)).startswith("SystemExit")
    assert verdict(Draw("", "", lambda: Network([], 3))) == ""


# ------------------------------------------------------------------------------------ instances of every kind
def refused(message: str, call: object) -> None:
    with pytest.raises(PhizError) as caught:
        call()  # type: ignore[operator]
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_python_arguments() -> None:
    def on(spec: object, **options: object) -> Network:
        return Network([spec], (2, 6, 6), **{"loss": "mse", "backend": "numpy", **options})  # type: ignore[list-item, arg-type]

    conv = {"maps": 2, "kernel": 3}
    refused(
        "layer 0: connections: expected text, a table, a list or nothing, got a whole number",
        lambda: on(layer("convolution", **conv, connections=5)),
    )
    refused("layer 0: expected a layer, made by layer(...), got int", lambda: on(1))
    refused("network: seed: expected a whole number >= 0", lambda: on(layer("dense", maps=1), seed=-1))
    refused("sharing[0]: expected", lambda: on(layer("convolution", **conv, sharing=["a"])))
    refused("layer: a value is nested more than 100 deep", lambda: layer("dense", maps=deep(900)))
    refused("(dense): maps: expected a whole number <= 2147483647", lambda: on(layer("dense", maps=2**32)))
    refused("until: expected a number, got nan", lambda: Settings(until=float("nan")).resolved(10))
    refused(
        "settings: patience: expected a whole number or nothing, got text",
        lambda: Settings(patience="x").resolved(9),  # type: ignore[arg-type]
    )
    refused(
        "time_limit: expected seconds >= 0", lambda: minimize(lambda x: (x @ x, 2 * x), [1.0], time_limit="x")
    )
    assert on(layer("dense", maps=1), dtype=np.float32, seed=np.int64(3)).dtype == "float32"


def test_memory_is_counted_before_it_is_taken() -> None:
    """At once, however many maps there are: a shape takes no room for each."""
    refused(
        "GiB are needed",
        lambda: Network([layer("dense", maps=2**28)], (3, 28, 28), loss="mse", backend="numpy"),
    )
    refused(
        "relation D: 1048576 x 4096 connections: 192.0 GiB are needed",
        lambda: Network(
            [layer("convolution", maps=2**20, kernel=3, sharing="map")], (2**12, 9, 9), loss="mse",
            backend="numpy",
        ),
    )  # fmt: skip


def test_files_say_where_they_are_wrong(tmp_path: Path) -> None:
    from phiz.runtime import load_split

    samples, file = load_split("digits").train, tmp_path / "net.json"
    for text, message in (
        ('{"layers": [{"layer": "dense", "maps": 1}], "lost": 1}', "net.json: unknown entry 'lost'"),
        ('{"layers": [{"layer": "dense"}, 3]}', "net.json: layers[1]: expected a table, got a whole number"),
        ('{"layers": [{"layer": "dense", "initial": {"w": {"rule": [1]}}}]}', "layer 0: initial"),
        ("[" * 200_000, "expected JSON, got: maximum recursion depth"),
    ):
        file.write_text(text)
        refused(message, lambda: architecture(file, samples))
