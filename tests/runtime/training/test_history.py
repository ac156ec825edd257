"""History: equal after a round trip, valid JSON whatever happened in training, refused when it is
something else.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from phiz.runtime.errors import DataError, PhizError
from phiz.runtime.training import history
from phiz.runtime.training.history import Epoch, TrainingHistory


def example() -> TrainingHistory:
    record = TrainingHistory(about={"network": "lenet", "seed": "3"}, unit="iteration")
    record = record.append(Epoch(0, 2.3))
    record = record.append(Epoch(1, 1.1, 0.5, 1.2, 0.4, 0.25, 11, 0.1))
    return record.append(Epoch(2, 0.1 + 0.2, 1.0, 1.3, 0.375, 0.5, 22, 0.05))


def test_round_trip_is_equal_and_repeats(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    history.save(example(), path)
    assert history.load(path) == example()
    first = path.read_bytes()
    history.save(history.load(path), path)
    assert path.read_bytes() == first


def test_values_that_are_not_finite_are_valid_json(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    record = TrainingHistory(
        (Epoch(1, math.inf, validation_loss=-math.inf, rate=math.nan),), stopped="diverged"
    )
    history.save(record, path)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    json.loads(path.read_text(), parse_constant=refuse)
    (epoch,) = history.load(path).epochs
    assert epoch.loss == math.inf and epoch.validation_loss == -math.inf
    assert epoch.rate is not None and math.isnan(epoch.rate)


def test_numpy_scalars_and_whole_losses(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    history.save(
        TrainingHistory((Epoch(np.int64(1), np.float32(0.5), evaluations=np.int64(7)), Epoch(2, 1))), path
    )  # type: ignore
    assert history.load(path) == TrainingHistory((Epoch(1, 0.5, evaluations=7), Epoch(2, 1.0)))


def test_best_is_the_first_lowest_validation_loss() -> None:
    assert example().best() == example().epochs[1]
    assert TrainingHistory().best() is None and TrainingHistory((Epoch(1, math.nan),)).best() is None
    assert TrainingHistory((Epoch(1, 3.0), Epoch(2, math.nan), Epoch(3, 1.0), Epoch(4, 1.0))).best() == Epoch(
        3, 1.0
    )


def test_epochs_are_in_order() -> None:
    with pytest.raises(ValueError, match="after 2, got 2"):
        example().append(Epoch(2, 1.0))


def test_every_prefix_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    history.save(example(), path)
    data = path.read_bytes()
    for length in range(len(data) - 1):  # without its last newline it is still whole
        path.write_bytes(data[:length])
        with pytest.raises(DataError):
            history.load(path)
    path.write_bytes(data[:-1])
    assert history.load(path) == example()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"format": "other"}, "that phiz saved"),
        ({"version": 2}, "version 1, got 2"),
        ({"about": []}, "'about'"),
        ({"epochs": {}}, "list of epochs"),
        ({"epochs": [{}]}, "epoch 0: expected the entries"),
        ({"epochs": [3]}, "epoch 0"),
        ({"loss": "high"}, "'loss', got 'high'"),
        ({"loss": None}, "'loss', got None"),
        ({"loss": True}, "'loss', got True"),
        ({"number": 1.5}, "'number', got 1.5"),
        ({"number": "nan"}, "'number', got 'nan'"),
        ({"rate": [1]}, r"'rate', got \[1\]"),
        ({"rate": 10**400}, "'rate'"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, change: dict, expected: str) -> None:
    path = tmp_path / "history.json"
    history.save(TrainingHistory((Epoch(1, 1.0),)), path)
    document = json.loads(path.read_text())
    if next(iter(change)) in document:
        document |= change
    else:
        document["epochs"][0] |= change
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=expected) as caught:
        history.load(path)
    assert str(path) in str(caught.value)


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PhizError, match="cannot be written: no such file"):
        history.save(example(), tmp_path / "absent" / "history.json")
