"""Parameters in constant memory: what fits, how a kernel is split where not all does, and that the numbers
stay the same bits.

Slow because each limit of constant memory gives other launches, whose programs are built to compare their
bits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phiz.runtime.backend import Request
from phiz.runtime.manifest.records import ConstantInfo, KernelInfo
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.device import device as devices
from phiz.runtime.opencl.device.machine import Machine
from phiz.runtime.opencl.executor import OpenCLExecutor
from phiz.runtime.opencl.launch import memory
from phiz.runtime.opencl.launch.single_launches import LaunchList
from phiz.runtime.opencl.plan.config import KernelConfig
from phiz.runtime.opencl.plan.constant_launches import Share, constant_launches
from phiz.runtime.program.layer import LayerSpec, layer
from phiz.runtime.program.program import Unit
from phiz.runtime.tuner.space.space import Space
from phiz.runtime.tuner.space.traits import traits
from phiz.runtime.tuner.trials.jobs import jobs
from phiz.runtime.tuner.trials.trial import Trials

NETWORKS: dict[str, tuple[list[LayerSpec], tuple[int, ...]]] = {
    "convolution": (
        [layer("convolution", maps=11, kernel=3, stride=2, padding=1, activation="tanh")],
        (2, 7, 6),
    ),
    "dense": ([layer("dense", maps=23, activation="tanh"), layer("dense", maps=3)], (7,)),
    "radial_basis": ([layer("radial_basis", maps=13)], (9,)),
}


def network(name: str, backend: OpenCLBackend | str = "numpy", dtype: str = "float32") -> Network:
    layers, shape = NETWORKS[name]
    return Network(layers, shape, "mse", backend, dtype)


def kernel_of(net: Network, name: str) -> tuple[Unit, KernelInfo]:
    unit = net.program.units[0]
    return unit, next(kernel for kernel in unit.kernels if kernel.name == name)


# --------------------------------------------------------------------------------------------- the arithmetic
@pytest.mark.parametrize("tile", [1, 2, 3, 4, 8, 11])
@pytest.mark.parametrize("limit", [4000, 792 + 48, 791, 500, 408, 300, 250, 120])
@pytest.mark.parametrize("align", [4, 16, 64])
def test_every_launch_has_what_its_maps_read_and_no_more_than_fits(tile: int, limit: int, align: int) -> None:
    """11 maps of 2 x 3 x 3 weights and a bias: 836 bytes."""
    unit, kernel = kernel_of(network("convolution"), "forward_Z")
    constant = kernel.constant
    assert constant is not None and (set(constant.sliced), constant.whole) == ({"w", "b"}, {})
    machine = Machine(16, 2, limit, align)
    shares, reason = constant_launches(unit, kernel, {constant.tile: tile}, machine, 4)
    if limit >= 836:
        assert (shares, reason) == ((None,), "")
        return
    if not shares:
        assert tile * 76 + 2 * align > limit and f"of forward_Z take {tile * 76} bytes" in reason
        return
    assert reason == "" and len(shares) > 1
    places = -(-11 // tile)
    covered = []
    for share in shares:
        assert isinstance(share, Share) and share.places == places
        covered += list(range(share.begin, share.end))
        assert sum(part.count * 4 for part in share.slices.values()) <= limit
        for place in range(share.begin, share.end):
            first = min(place * tile, 11 - tile)  # the kernel moves the last tile back
            for tensor, units in (("w", 18), ("b", 1)):
                part = share.slices[tensor]
                assert part.first * 4 % align == 0
                assert (
                    part.first <= first * units
                    and (first + tile) * units <= part.first + part.count <= 11 * units
                )
    assert covered == list(range(places))


def test_why_parameters_do_not_fit() -> None:
    net = network("convolution")
    unit, forward = kernel_of(net, "forward_Z")
    delta, gradient = (kernel_of(net, name)[1] for name in ("delta_Y", "gradient_w"))
    tiny = Machine(16, 2, 100, 4)

    def reason(kernel: KernelInfo, machine: Machine = tiny, itemsize: int = 4) -> str:
        shares, found = constant_launches(unit, kernel, {}, machine, itemsize)
        assert not shares or found == ""
        return found

    assert reason(forward) == ""
    assert "parameters of 1 output maps of forward_Z take 152 bytes, constant memory has 100" in reason(
        forward, itemsize=8
    )
    assert "forward_Z take 76 bytes, constant memory has 0" in reason(forward, Machine(16, 2))
    assert (
        "delta_Y take 792 bytes, constant memory has 100, and no output map reads a part of its own"
        in reason(delta)
    )
    assert reason(delta, Machine(16, 2, 792)) == ""
    assert "gradient_w reads no parameters" in reason(gradient)
    assert forward.constant is not None
    many = {f"p{n}": "1" for n in range(9)}
    launch = replace(forward.launch, constant=ConstantInfo("S", many, {}, "I", "", 1))
    crowded = replace(forward, launches={forward.layout: launch})
    assert "forward_Z reads 9 tensors of parameters, constant memory takes 8" in reason(
        crowded, Machine(16, 2, 65536)
    )


def test_a_composed_pass_and_a_small_device_refuse_by_name() -> None:
    backend = OpenCLBackend(fuse=False)
    device = replace(traits(backend, "float32"), machine=Machine(16, 2, 60, 4))
    for job in jobs(network("convolution"), 8, Request(gradients="sum", input_gradient=True)):
        space = Space(job.unit, job.kernel, "float32", 8, device)
        why = space.illegal(KernelConfig(constant=True))
        assert job.kernel.name in why or job.unit.label == "loss"
        for shared in (replace(device, fused=True), replace(device, grouped=True)):
            assert "a kernel of a composed pass" in replace(space, device=shared).illegal(
                KernelConfig(constant=True)
            )
        assert space.plan(KernelConfig(constant=True)).shares == (None,), (
            "what does not fit stays in global memory"
        )
        macros = space.plan(KernelConfig(constant=True)).macros
        assert "__constant" not in macros.values()


# ------------------------------------------------------------------------------------------------ on a device
class Constant:
    """Constant memory wherever parameters are read; ``config``: what else."""

    def __init__(self, config: KernelConfig) -> None:
        self.config = config

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        return replace(self.config, tiles={m: n for m, n in self.config.tiles.items() if m in kernel.tiles})


def small(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Every device has so little constant memory."""
    real = devices.machine
    monkeypatch.setattr(devices, "machine", lambda device, kind: replace(real(device, kind), constant=limit))


#: Numbers of an output map, and tensors that have them.
ENTRIES = {"convolution": (19, 2), "dense": (8, 2), "radial_basis": (9, 1)}
TILES = {
    "TILE_forward_Z_i": 4,
    "TILE_forward_R_i": 4,
    "TILE_gradient_c_i": 3,
    "TILE_gradient_c_j": 2,
    "TILE_forward_Z_x1": 2,
}


def results(net: Network, samples: int) -> tuple[list[bytes], int, list[np.ndarray]]:
    """The bits of what a user gets, twice over, the launches above one a kernel, and the numbers."""
    generator = np.random.default_rng(samples)
    inputs = generator.normal(size=(samples, net.input_shape.units))
    targets = generator.normal(size=(samples, net.output_shape.units))
    found = []
    for _ in range(2):
        found += [
            net.value_and_gradient(net.parameters, inputs, targets)[1],
            net.forward(net.parameters, inputs),
        ]
        found += [
            net.input_gradient(net.parameters, inputs, targets),
            net.per_sample_gradients(net.parameters, inputs, targets),
        ]
    assert [one.tobytes() for one in found[:4]] == [one.tobytes() for one in found[4:]]
    more = 0
    executor = net.executor(samples)
    if isinstance(executor, OpenCLExecutor):
        for kind in executor._passes.values():
            assert isinstance(kind.launches, LaunchList)
            more = max(more, len(kind.launches.launches) - len(kind.steps))
    return [one.tobytes() for one in found[:4]], more, found[:4]


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "copied"])
@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float32") for name in sorted(NETWORKS)), ("convolution", "float64")]
)
def test_split_launches_give_the_bits_of_one(
    name: str, dtype: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shared:
        monkeypatch.setattr(memory, "shares_memory", lambda device: False)
    for samples, tiles in ((9, dict.fromkeys(TILES, 1)), (21, TILES)):
        base = KernelConfig(tiles, partial_sums=2 if samples > 9 else None)

        def run(
            limit: int | None, base: KernelConfig = base, samples: int = samples
        ) -> tuple[list[bytes], int, list[np.ndarray]]:
            backend = OpenCLBackend(fuse=False)
            backend.configs = Constant(replace(base, constant=limit is not None))
            with monkeypatch.context() as patched:
                if limit is not None:
                    small(patched, limit)
                return results(network(name, backend, dtype), samples)

        itemsize, (entry, tensors) = np.dtype(dtype).itemsize, ENTRIES[name]
        plain, fitting, split = run(None), run(65536), run(4 * entry * itemsize + 128 * tensors)
        assert fitting[0] == plain[0] == split[0]
        assert fitting[1] == plain[1] < split[1], "the split was taken"
        for ours, theirs in zip(split[2], results(network(name, "numpy", dtype), samples)[2], strict=True):
            assert np.abs(ours - theirs).max() <= (1e-4 if dtype == "float32" else 1e-11) * max(
                1.0, np.abs(theirs).max()
            )


def test_a_split_candidate_is_checked_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch, 19 * 4 * 4 + 256)
    backend = OpenCLBackend(fuse=False)
    checked = 0
    for job in jobs(network("convolution", backend), 9, Request(gradients="sum", input_gradient=True)):
        trials, one = Trials(job, backend), KernelConfig(dict.fromkeys(job.kernel.tiles, 1))
        split = replace(one, constant=True)
        if not trials.space.illegal(split):
            candidate, plain = trials.check(split), trials.check(one)
            assert {n: v.tobytes() for n, v in candidate.run().items()} == {
                n: v.tobytes() for n, v in plain.run().items()
            }
            checked += len(trials.space.plan(split).shares) > 1
    assert checked
