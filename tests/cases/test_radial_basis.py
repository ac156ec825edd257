"""Equations 46-55 and Table 5: radial basis functions and their linear combination."""

import numpy as np
import pytest
from phiz.runtime.program.layer import layer

from tests.cases.worked import BACKENDS, Worked, agree, cases, named

RADIUS = {"sq": "squared", "norm": "norm"}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", named("rbf_"))
def test_radial_basis_network(name: str, backend: str) -> None:
    given, expected = cases()[name]["inputs"], cases()[name]["expected"]
    units, identity = len(given["z1"]), np.eye(len(given["z1"])).tolist()
    weights = [given["a"][i][j] for i, inputs in enumerate(given["D"]) for j in inputs]
    below = layer("dense", maps=units, bias=False, activation="tanh")
    above = [
        layer("radial_basis", maps=len(given["C"]), radius=RADIUS[given["kernel"]]),
        layer("linear_combination", connections=given["D"]),
    ]
    # A centre that is the input must be it to the last bit, so it is what this backend's tanh gives.
    y = Worked([below], units, "mse", backend, [identity], [given["z1"]], [given["z1"]]).outputs[0].tolist()
    centres = [y if np.allclose(c, y, rtol=0, atol=1e-12) else c for c in given["C"]]
    parameters = [centres, given["beta"], weights]
    found = Worked(
        [below, *above], units, "mse", backend, [identity, *parameters], [given["z1"]], [given["t"]]
    )
    agree(found.value, expected["E"], "E")
    agree(found.outputs[0], expected["y_out"], "y")
    agree(found.delta(2)[0], expected["delta_out"], "delta of the combination")
    agree(found.delta(1)[0], expected["delta_rbf"], "delta of the functions")
    agree(found.slope(1, "c"), expected["dC"], "dC")
    agree(found.slope(1, "beta"), expected["dbeta"], "dbeta")
    agree(
        found.slope(2, "a"),
        [expected["da"][i][j] for i, inputs in enumerate(given["D"]) for j in inputs],
        "da",
    )
    agree(found.delta(0)[0], expected["delta_1"], "delta below")
    alone = Worked(above, units, "mse", backend, parameters, [y], [given["t"]])
    agree(alone.input_gradient[0], expected["dy1"], "dE/dy below")
