"""Drawing networks: the same from the same seed, within bounds, of every kind, and counted rightly."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from phiz.benchmarks.sweep import draw as drawing
from phiz.benchmarks.sweep.draw import MOST_BYTES, MOST_FLOPS, MOST_SAMPLES, Draw, _within, draw, kind
from phiz.benchmarks.sweep.networks import DEEPEST, KINDS, LARGEST_KERNEL, MOST_MAPS, WIDEST, between, size
from phiz.runtime.errors import PhizError
from phiz.runtime.manifest.loading import load_manifest
from phiz.runtime.manifest.records import Manifest
from phiz.runtime.network.network import Network
from phiz.runtime.program.layer import LayerSpec, layer


@cache
def manifest() -> Manifest:
    return load_manifest(())


@cache
def drawn() -> tuple[Draw, ...]:
    return tuple(draw(3, number, manifest()) for number in range(120) if kind(3, number) != "user")


def test_a_seed_and_a_number_give_the_same_draw_whatever_was_drawn_before() -> None:
    assert draw(3, 17, manifest()) == draw(3, 17, manifest()) == next(d for d in drawn() if d.number == 17)
    assert draw(4, 17, manifest()).title != draw(3, 17, manifest()).title
    assert all(kind(3, one.number) == one.kind for one in drawn())


def test_draws_keep_to_their_bounds() -> None:
    for one in drawn():
        assert 0 < one.flops <= MOST_FLOPS and 0 < one.bytes <= MOST_BYTES and one.parameters > 0
        assert 1 <= one.batch <= MOST_SAMPLES and 1 <= len(one.layers) <= DEEPEST + 3
        for spec in one.layers:
            assert spec.keywords.get("maps", 1) <= max(WIDEST, MOST_MAPS)
            assert spec.keywords.get("kernel", 1) <= LARGEST_KERNEL


def test_draws_are_of_every_kind_and_rank() -> None:
    kinds = [kind(3, number) for number in range(120)]
    assert set(kinds) == set(KINDS)
    families = {spec.family for one in drawn() for spec in one.layers}
    assert families >= {"convolution", "max_pooling", "subsampling", "dense", "softmax", "radial_basis"}
    ranks = {len(one.input_shape) - 1 for one in drawn() if one.layers[0].family == "convolution"}
    assert ranks == {1, 2, 3}
    depths = [len(one.layers) for one in drawn()]
    assert min(depths) == 1 and max(depths) > 15
    batches = {one.batch for one in drawn()}
    assert 1 in batches and max(batches) > 500 and any(batch % 2 and batch > 8 for batch in batches)


def test_what_is_recorded_builds_the_network_again() -> None:
    one = next(d for d in drawn() if d.kind == "convolution" and len(d.layers) > 4)
    record = one.record()
    specs = [LayerSpec.from_dict(entry) for entry in record["layers"]]
    network = Network(specs, tuple(record["input_shape"]), record["loss"], backend="numpy")
    assert network.parameter_count == one.parameters and network.output_shape.units == one.outputs
    assert one.case("gradient").model.samples(2)[1].shape == (2, one.outputs)


def test_operations_are_those_of_the_products() -> None:
    """A dense layer sums over its inputs, and its gradient once over the samples; the rest is small."""
    specs = (layer("dense", maps=50, activation="tanh"), layer("dense", maps=20))
    found = _within(Draw(0, 0, "dense", specs, (30,), "mse", 0, 0, 0, 0, 0), [7], manifest())
    assert found is not None and found.batch == 7
    products = 2 * (30 * 50 + 50 * 20)  # forward
    products += 2 * 50 * 20  # the delta of the first layer
    products += 2 * (30 * 50 + 50 * 20)  # both gradients
    assert products * 7 < found.flops < 1.2 * products * 7
    assert found.parameters == 30 * 50 + 50 + 50 * 20 + 20
    # activations and deltas of 7 samples, parameters and their gradient
    assert 4 * (7 * (30 + 2 * 70) + 2 * found.parameters) <= found.bytes


def test_what_is_beyond_the_bounds_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = draw(3, 17, manifest())
    monkeypatch.setattr(drawing, "MOST_FLOPS", before.flops / 2)
    assert draw(3, 17, manifest()).flops <= before.flops / 2
    monkeypatch.setattr(drawing, "MOST_BYTES", 1)
    with pytest.raises(
        PhizError, match=f"draw 17 of seed 3: no network of kind {before.kind} keeps to the bounds"
    ):
        draw(3, 17, manifest())


def test_sizes_are_spread_evenly_over_their_orders() -> None:
    random = np.random.default_rng(0)
    found = [between(random, 1, 1000) for _ in range(3000)]
    assert min(found) == 1 and max(found) <= 1000
    below = [sum(low <= n < 10 * low for n in found) / len(found) for low in (1, 10, 100)]
    assert all(abs(part - 1 / 3) < 0.05 for part in below)
    powers = [size(random, 1, 256) in (8, 16, 32, 64, 128, 256) for _ in range(1000)]
    assert 0.45 < sum(powers) / len(powers) < 0.65
