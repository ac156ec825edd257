"""Equations 1, 6-8 and Table 1: images with random indexing, shared parameters, arbitrary connections."""

from itertools import accumulate

import pytest
from phiz.runtime.program.layer import layer

from tests.cases.worked import BACKENDS, Worked, agree, cases, named


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", named("irregular"))
def test_irregular_units(name: str, backend: str) -> None:
    given, expected = cases()[name]["inputs"], cases()[name]["expected"]
    above = [0, *accumulate(len(units) for units in given["S1"])]
    below = [0, *accumulate(len(units) for units in given["S0"])]
    rows = given["connections"]
    connections = {
        "i": [above[i] + x for i, x, _, _, _ in rows],
        "j": [below[j] + y for _, _, j, y, _ in rows],
        "q": [m for *_, m in rows],
    }
    identity = {"i": list(range(below[-1])), "j": list(range(below[-1])), "q": [0] * below[-1]}
    specs = [
        layer("irregular", units=below[-1], connections=identity, activation="tanh"),
        layer("irregular", units=above[-1], connections=connections, activation="tanh"),
    ]
    found = Worked(specs, below[-1], "mse", backend, [[1.0], given["omega"]], [given["Z0"]], [given["T"]])
    agree(found.value, expected["E"], "E")
    agree(found.delta(1)[0], expected["delta_1"], "delta")
    agree(found.delta(0)[0], expected["delta_0"], "delta below")
    agree(found.slope(1, "w"), expected["domega"], "domega")
