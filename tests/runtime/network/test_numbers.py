"""What is no array of real numbers in the network's dtype is refused, by every function that takes arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from phiz.runtime.data.datasets import Dataset, from_arrays
from phiz.runtime.errors import DataError, NotFiniteError, PhizError
from phiz.runtime.network.network import Network
from phiz.runtime.program.layer import layer

ROLES = ("parameters", "inputs", "targets", "weights")


def network(dtype: str = "float32") -> Network:
    return Network(
        [layer("dense", maps=2, activation="tanh"), layer("dense", maps=1)], 3, "mse", "numpy", dtype
    )


def arguments(net: Network, dtype: str = "float64") -> dict[str, np.ndarray]:
    return {
        "parameters": np.full(net.parameter_count, 0.1, dtype), "inputs": np.ones((4, 3), dtype),
        "targets": np.ones((4, 1), dtype), "weights": np.ones(4, dtype),
    }  # fmt: skip


CALLS: dict[str, Callable[..., Any]] = {
    "value": lambda net, **given: net.value(**given),
    "value_and_gradient": lambda net, **given: net.value_and_gradient(**given),
    "per_sample_gradients": lambda net, **given: net.per_sample_gradients(**given),
    "input_gradient": lambda net, **given: net.input_gradient(**given),
    "first_nonfinite": lambda net, **given: net.first_nonfinite(**given),
    "place": lambda net, parameters, **given: net.value(parameters, net.place(**given)),
}

WRONG: dict[str, tuple[Callable[[np.ndarray], Any], type[PhizError], str]] = {
    "complex": (lambda good: good + 0j, DataError, "expected an array of numbers, got complex128"),
    "mask": (
        lambda good: np.ma.masked_array(good, np.arange(good.size).reshape(good.shape) == 1),
        DataError,
        "got a masked one",
    ),
    "rows with masks": (lambda good: [*map(np.ma.masked_array, good)], DataError, "got a masked one"),
    "text": (lambda good: good.astype(str), DataError, "expected an array of numbers, got <U32"),
    "objects": (lambda good: good.astype(object), DataError, "expected an array of numbers, got object"),
    "overflow": (
        lambda good: np.where(np.arange(good.size).reshape(good.shape) == good.size - 1, 1e300, good),
        NotFiniteError,
        "expected numbers that float32 can hold, got 1e+300 at ",
    ),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("call", CALLS)
def test_every_function_refuses_what_is_no_array_of_real_numbers(call: str, wrong: str, role: str) -> None:
    net = network()
    good = arguments(net)
    spoil, error, message = WRONG[wrong]
    CALLS[call](net, **good)
    with pytest.raises(error, match=f"^{role}: ") as caught:
        CALLS[call](net, **{**good, role: spoil(good[role])})
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("role", "place"), [("parameters", "place 10"), ("inputs", "sample 3, unit 2"), ("weights", "place 3")]
)
def test_an_overflow_is_named_by_its_place(role: str, place: str) -> None:
    net = network()
    good = arguments(net)
    with pytest.raises(NotFiniteError, match=rf"got 1e\+300 at {place}$"):
        net.value(**{**good, role: WRONG["overflow"][0](good[role])})
    net.value(**{**arguments(network("float64")), role: good[role]})


def test_parameters_of_the_networks_dtype_are_not_copied() -> None:
    net = network()
    assert net._in_shape(net.parameters) is net.parameters
    assert net._in_shape(net.parameters.astype("f8")).dtype == np.float32
    assert net._in_shape(net.parameters.tolist()).dtype == np.float32


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (np.ones((3, 2)) * 1j, np.ones(3), "inputs that are numbers, got dtype complex128"),
        (np.ones((3, 2)), np.ones(3) * 1j, "targets that are numbers for a regression, got dtype complex128"),
        (
            np.ma.masked_array(np.ones((3, 2)), np.eye(3, 2)),
            np.ones(3),
            "inputs: expected an array of numbers, got a masked one",
        ),
        (
            np.ones((3, 2)),
            np.ma.masked_array(np.arange(3), [0, 1, 0]),
            "targets: expected an array of numbers, got a masked one",
        ),
        ([[1, 2], [3]], np.ones(2), "inputs: expected an array of numbers, got"),
        (np.float64(1), np.ones(1), "one row a sample"),
        (np.ones((3, 2)), 5, "one row a sample"),
        (np.array([[None], [1]]), np.ones(2), "inputs that are numbers, got dtype object"),
        (np.ones((2, 1)), np.array([None, 1]), "targets that are numbers"),
    ],
)
def test_a_data_set_takes_real_numbers_without_a_mask(inputs: Any, targets: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_arrays(inputs, targets)


def test_a_data_set_made_by_hand_has_no_mask_and_a_known_task() -> None:
    with pytest.raises(DataError, match="got a masked one"):
        Dataset(
            "made", np.ma.masked_array(np.ones((3, 2)), np.eye(3, 2)), np.ones((3, 1)), None, "regression"
        )
    with pytest.raises(DataError, match="expected the task classification or regression, got 'ranking'"):
        from_arrays(np.ones((3, 2)), np.arange(3), task="ranking")  # type: ignore[arg-type]
