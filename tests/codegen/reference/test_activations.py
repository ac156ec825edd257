"""phi and phi' of every built-in activation, as NumPy computes them, within 4 units in the last place.

phi' is computed from what the kernels compute it from: z, or the rounded y = phi(z).
"""

from __future__ import annotations

import numpy as np
import pytest
from phiz.runtime.manifest.loading import builtin
from phiz.runtime.verify.kernel_run import derivative, value

from tests.codegen.exact_activations import EXACT, UNITS, points, units


def computed(name: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """phi and phi' at the points."""
    activation, z = builtin().activation(name), points(dtype)
    y = value(activation)(z)
    return y, derivative(activation)(z if activation.derivative_in == "z" else y)


def test_every_activation_has_its_definition() -> None:
    assert set(EXACT) == set(builtin().activations)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EXACT)
def test_phi_and_its_derivative_are_exact_to_four_units(name: str, dtype: str) -> None:
    for slope, got in enumerate(computed(name, dtype)):
        assert got.dtype == dtype
        errors = units(name, bool(slope), got)
        worst = int(errors.argmax())
        assert errors[worst] <= UNITS, f"{'dphi' if slope else 'phi'} at {points(dtype)[worst]}"


def test_what_was_reported() -> None:
    """elu at -1e-8 was 0, its derivative at -25 was 0, that of scaled_tanh at 17 was negative."""
    z = np.array([-1e-8, -25.0, 17.0], np.float32)
    activations = builtin().activations
    assert value(activations["elu"])(z)[0] == np.float32(-1e-8)
    assert abs(derivative(activations["elu"])(z)[1] / 1.3887944e-11 - 1) < 1e-6
    assert derivative(activations["scaled_tanh"])(z)[2] > 0


def test_phi_is_differentiated_in_y_only_where_no_digit_is_lost() -> None:
    found = {name: activation.derivative_in for name, activation in builtin().activations.items()}
    in_y = {name for name, argument in found.items() if argument == "y"}
    assert in_y == {"linear", "relu", "leaky_relu", "softplus"}
