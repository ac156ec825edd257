"""Networks by name and from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.runtime.data.datasets import Dataset, from_arrays, load
from phiz.runtime.errors import PhizError, ShapeError
from phiz.runtime.network.architectures import NAMED, architecture, default_network
from phiz.runtime.network.network import Network

from tests.runtime.training.training_data import regression

TOML = """
loss = "ce"
input_shape = [1, 8, 8]

[[layers]]
layer = "convolution"
maps = 4
kernel = [3, 2]
padding = 1
activation = "relu"
name = "edges"
initial = { w = { rule = "normal", scale = 0.5 } }

[[layers]]
layer = "softmax"
maps = 10
"""


def images(size: int) -> Dataset:
    random = np.random.default_rng(0)
    return from_arrays(random.uniform(size=(20, 1, size, size)), np.arange(20) % 10, "float32")


def build(source: Any, data: Dataset) -> Network:
    chosen = architecture(source, data)
    return Network(chosen.layers, chosen.input_shape, chosen.loss, "numpy", str(data.inputs.dtype))


@pytest.mark.parametrize(
    ("name", "size", "count"),
    [
        ("lenet-digits", 8, 2046),
        ("lenet-digits-small", 8, 1954),
        ("lenet", 28, 61750),
        ("mlp-digits", 8, 4810),
        ("linear", 8, 650),
        ("mlp", 8, 1210),
    ],
)
def test_named_networks_have_the_parameters_that_they_say(name: str, size: int, count: int) -> None:
    net = build(name, images(size))
    assert net.parameter_count == count
    assert net.output_shape.units == 10 and net.loss.name == "ce"
    assert f"{count:,}" in NAMED[name].summary or name in ("linear", "mlp")


@pytest.mark.parametrize("name", ["mlp", "linear", "mlp-digits"])
def test_networks_for_tables_end_in_linear_units_for_a_regression(name: str) -> None:
    net = build(name, regression())
    assert net.loss.name == "mse" and net.output_shape.units == 1


def test_the_network_for_data_where_none_is_named() -> None:
    assert [default_network(data) for data in (images(8), images(28), regression())] == [
        "lenet-digits",
        "lenet",
        "mlp",
    ]


def test_a_file_is_read_as_json_and_as_toml(tmp_path: Path) -> None:
    data = load("digits")
    (tmp_path / "one.toml").write_text(TOML)
    one = architecture(tmp_path / "one.toml", data)
    net = Network(one.layers, one.input_shape, one.loss, "numpy")
    assert net.parameter_count == 4 * 6 + 4 + 10 * 4 * 8 * 9 + 10
    assert one.layers[0].to_dict()["name"] == "edges"
    (tmp_path / "two.json").write_text(json.dumps(net.architecture()))
    two = architecture(tmp_path / "two.json", data)
    assert two.layers == one.layers and two.loss == "ce"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "expected JSON, got:"),
        ("[]", "expected a table with 'layers', got list"),
        ("{}", r"net\.json: missing entry 'layers'"),
        ('{"layers": []}', "layers: expected a list of layers, got none"),
        ('{"layers": {"a": 1}}', r"net\.json: layers: expected a list, got a table"),
        ('{"layers": ["dense"]}', r"layers\[0\]: expected a table, got text"),
        ('{"layers": [{"maps": 3}]}', "layer 0: .*has no key 'layer'"),
        ('{"layers": [{"layer": 3}]}', "layer 0: layer: expected text, got a whole number"),
        (
            '{"layers": [{"layer": "dense", "activation": ["tanh"]}]}',
            "layer 0: activation: expected text, got a list",
        ),
        ('{"layers": [{"layer": "dense", "family": "x"}]}', "layer 0: unknown entry 'family'"),
        (
            '{"layers": [{"layer": "dense", "initial": {"w": 1}}]}',
            r"layer 0: initial\.w: expected a table, got a whole number",
        ),
        ('{"layers": [{"layer": "dense"}], "lossy": 1}', "unknown entry 'lossy'"),
        (
            '{"layers": [{"layer": "dense"}], "loss": 1}',
            r"net\.json: loss: expected text or nothing, got a whole number",
        ),
        (
            '{"layers": [{"layer": "dense"}], "input_shape": [1, 9, 9]}',
            r"input_shape is \(1, 9, 9\), .*\(1, 8, 8\)",
        ),
        ("[" * 100_000, "expected JSON, got:"),
    ],
)
def test_a_file_that_is_no_network_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "net.json"
    file.write_text(text)
    with pytest.raises(PhizError, match=message) as caught:
        architecture(file, images(8))
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('"layer": "convolution", "maps": 2, "kernel": 9', r"layer 0 \(convolution\)"),
        ('"layer": "convolution", "maps": 2, "kernel": 3, "stride": 0', r"layer 0 \(convolution\): stride"),
        (
            '"layer": "dense", "maps": 10, "activation": "tnah"',
            r"layer 0 \(dense\): unknown activation 'tnah'",
        ),
        ('"layer": "dens", "maps": 10', r"layer 0 \(dens\): unknown layer 'dens'"),
        ('"layer": "dense", "units": 10', r"layer 0 \(dense\): unknown keyword 'units'"),
        ('"layer": "dense", "maps": "ten"', r"layer 0 \(dense\): maps"),
        ('"layer": "convolution", "kernel": 3, "connections": [[0], [1]]', r"layer 0 \(convolution\)"),
        ('"layer": "irregular", "connections": [[0, 99]]', r"layer 0 \(irregular\)"),
    ],
)
def test_layers_that_do_not_fit_are_refused_by_name(entry: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "net.json"
    file.write_text('{"layers": [{' + entry + "}]}")
    with pytest.raises((ShapeError, PhizError), match=message):
        build(file, images(8))


def test_names_and_files_that_are_not_there() -> None:
    with pytest.raises(PhizError, match="network 'lenett': expected one of lenet-digits"):
        architecture("lenett", images(8))
    with pytest.raises(PhizError, match="expected a readable network file, got: no such file"):
        architecture("nowhere/net.toml", images(8))
    with pytest.raises(PhizError, match="network lenet: expected images"):
        architecture("lenet", regression())
