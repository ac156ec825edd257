"""Equations 86-103, Tables 6-8: weighted, maximum and vanilla sub-sampling; ragged edges; ties."""

from typing import Any

import numpy as np
import pytest
from phiz.runtime.program.layer import LayerSpec, layer

from tests.cases.worked import BACKENDS, Worked, agree, cases, named


def above_tanh(spec: LayerSpec, given: dict[str, Any], parameters: list[Any], backend: str) -> Worked:
    """The layer above tanh, whose own layer passes every sample through (sub-sampling by 1)."""
    maps = np.array(given["Z0"]).reshape(-1, *given["H"])
    through = layer("vanilla_subsampling", window=1, activation="tanh")
    return Worked([through, spec], maps.shape, "mse", backend, parameters, [maps.tolist()], [given["T"]])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", named("subsample_"))
def test_weighted_subsampling(name: str, backend: str) -> None:
    given, expected = cases()[name]["inputs"], cases()[name]["expected"]
    specs = [
        layer("subsampling", window=given["K"], connections=given["D"], sharing="map", activation="tanh")
    ]
    if given["D"] == [[i] for i in range(len(np.array(given["Z0"])))]:
        specs.append(layer("subsampling", window=given["K"], activation="tanh"))  # equation 87: j = i
    for spec in specs:
        found = above_tanh(spec, given, [given["alpha"], given["b"]], backend)
        agree(found.value, expected["E"], "E")
        agree(found.outputs[0], np.tanh(expected["Z1"]).tolist(), "Y")
        agree(found.delta(1)[0], expected["delta_1"], "delta")
        agree(found.delta(0)[0], expected["delta_0"], "delta below")
        agree(found.slope(1, "alpha"), expected["dalpha"], "dalpha")
        agree(found.slope(1, "b"), expected["db"], "db")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", named("maxpool_"))
def test_max_pooling_gives_the_delta_to_the_first_of_tied_values(name: str, backend: str) -> None:
    given, expected = cases()[name]["inputs"], cases()[name]["expected"]
    assert np.max(expected["number_of_ties"]) > 1
    found = above_tanh(layer("max_pooling", window=given["K"]), given, [], backend)
    agree(found.outputs[0], expected["Y1"], "Y")
    agree(found.delta(1)[0], expected["delta_1"], "delta")
    agree(found.delta(0)[0], expected["delta_0_first"], "delta below")
    with pytest.raises(AssertionError):
        agree(found.delta(0)[0], expected["literal_delta_0_all_ties"], "Table 7 as printed")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", named("vanilla_"))
def test_vanilla_subsampling(name: str, backend: str) -> None:
    given, expected = cases()[name]["inputs"], cases()[name]["expected"]
    found = above_tanh(layer("vanilla_subsampling", window=given["K"]), given, [], backend)
    agree(found.value, expected["E"], "E")
    agree(found.delta(1)[0], expected["delta_1"], "delta")
    agree(found.delta(0)[0], expected["delta_0"], "delta below")
