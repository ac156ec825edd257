"""Grouped passes against NumPy: what a GPU launches, on whatever device runs it here.

Slow because every launch of a pass is a program of its own, and every network is built under several
schedules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from phiz.benchmarks.cases.models import MODELS
from phiz.runtime.backend import Request, calls
from phiz.runtime.manifest.records import KernelInfo
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.device.machine import Machine
from phiz.runtime.opencl.executor import OpenCLExecutor
from phiz.runtime.opencl.launch import memory
from phiz.runtime.opencl.launch.calls import partial_sums_key
from phiz.runtime.opencl.launch.compose import given, keys
from phiz.runtime.opencl.launch.grouped import GroupedPass, Grouping, _launches
from phiz.runtime.opencl.launch.grouped_text import LaunchGroup, Writer
from phiz.runtime.opencl.plan.config import Fixed, KernelConfig
from phiz.runtime.opencl.plan.plan import Plan
from phiz.runtime.program.flat_vectors import parts_of_vectors
from phiz.runtime.program.layer import LayerSpec, layer
from phiz.runtime.program.program import Step, Unit
from phiz.runtime.tuner.space.space import REDUCTION_GROUPS, Space
from phiz.runtime.tuner.space.traits import traits
from phiz.runtime.tuner.trials.jobs import jobs
from phiz.runtime.tuner.trials.trial import Trials

from tests.runtime.opencl.launch.test_fused import LAYERS

NETWORKS: dict[str, tuple[Sequence[LayerSpec], Any, str]] = {
    "images": (LAYERS, (2, 9, 7), "ce"),
    "ragged": (
        [
            layer(
                "convolution",
                kernel=[[3, 2], [2, 2], [1, 3]],
                connections=[[0, 1], [1]],
                activation="softplus",
            ),
            layer("convolution", maps=3, kernel=2, sharing="map", activation="tanh"),
            layer("dense", maps=2),
        ],
        ((6, 5), (5, 7)),
        "mse",
    ),
    "crossed": (
        [
            layer("subsampling", window=(2, 3), connections=[[1], [0, 1]], activation="tanh"),
            layer("dense", maps=3),
        ],
        (2, 5, 7),
        "mse",
    ),
    "radial": (
        [
            layer("dense", maps=9, activation="tanh"),
            layer("radial_basis", maps=6),
            layer("linear_combination", maps=3),
        ],
        (7,),
        "mse",
    ),
    "irregular": (
        [
            layer(
                "irregular",
                connections=[[0, 3], [1, 2, 2], []],
                sharing=[[0, 1], [1, 0, 0], []],
                activation="tanh",
            ),
            layer("dense", maps=2),
        ],
        (4,),
        "mse",
    ),
}
GRADIENT = Request(losses=True, gradients="sum")
REQUESTS = (
    GRADIENT, Request(outputs=True), Request(input_gradient=True), Request(gradients="sample"),
    Request(outputs=True, losses=True, gradients="sum", input_gradient=True, keep=True),
)  # fmt: skip
CLOSE = 3e-5


def gpu(configs: Any = None) -> OpenCLBackend:
    """The layout, the rules and the launches of GPUs."""
    backend = OpenCLBackend(configs=configs)
    backend.kind = "gpu"
    assert backend.groups and not backend.fuses
    return backend


def network(name: str, backend: OpenCLBackend | str = "numpy") -> Network:
    layers, shape, loss = NETWORKS[name]
    return Network(layers, shape, loss, backend, "float32", micro_batch=64)


def batch(net: Network, samples: int) -> tuple[np.ndarray, np.ndarray]:
    random, units = np.random.default_rng(samples), net.output_shape.units
    targets = (
        np.eye(units)[random.integers(0, units, samples)]
        if net.loss.name == "ce"
        else random.normal(size=(samples, units))
    )
    return random.normal(size=(samples, net.input_shape.units)), targets


def grouped(net: Network, samples: int) -> OpenCLExecutor:
    executor = net.executor(samples)
    assert isinstance(executor, OpenCLExecutor) and isinstance(executor.launcher, Grouping)
    return executor


def passes(executor: OpenCLExecutor) -> Iterator[tuple[tuple[Step, ...], GroupedPass]]:
    """Steps and launches of every kind of pass that has run."""
    for kind in executor._passes.values():
        assert isinstance(kind.launches, GroupedPass)
        yield kind.steps, kind.launches


class Drawn:
    """A random legal configuration for every kernel, of widths up to 4."""

    def __init__(self, seed: int) -> None:
        backend = gpu()
        self.seed, self.device = seed, replace(traits(backend, "float32"), grouped=True, widest=4)
        self.found: dict[tuple[str, str, int], KernelConfig] = {}

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        """The same for the same question."""
        name = (unit.label, kernel.name, samples)
        if name not in self.found:
            generator = np.random.default_rng([self.seed, len(self.found)])
            self.found[name] = Space(unit, kernel, dtype, samples, self.device).drawn(generator)
        return self.found[name]


# ---------------------------------------------------------------------------------------------------- numbers
@pytest.mark.parametrize("name", NETWORKS)
def test_grouped_passes_give_what_numpy_gives(name: str) -> None:
    """With default configurations, on batches that leave stretches and micro-batches ragged."""
    ours, theirs = network(name, gpu()), network(name)
    p = theirs.parameters
    sizes = (150, 64, 9, 8, 7, 1) if name == "images" else (64, 9) if name == "radial" else (7,)
    for (
        samples
    ) in sizes:  # sums of another number of samples are shared out otherwise, by a program of its own
        x, t = batch(theirs, samples)
        weights = np.random.default_rng(0).uniform(0.5, 2.0, samples)
        found, wanted = (n.value_and_gradient(p, x, t, weights) for n in (ours, theirs))
        assert abs(found[0] - wanted[0]) <= CLOSE * abs(wanted[0])
        assert np.abs(found[1] - wanted[1]).max() <= CLOSE * np.abs(wanted[1]).max()
        again = ours.value_and_gradient(p, x, t, weights)
        assert again[0] == found[0] and again[1].tobytes() == found[1].tobytes(), (
            "the bits differ from run to run"
        )
        grouped(ours, min(samples, 64))
        for method in ("forward", "input_gradient", "per_sample_gradients") if samples in (9, 7) else ():
            taken: tuple[Any, ...] = (p, x) if method == "forward" else (p, x, t)
            one, two, other = (getattr(n, method)(*taken) for n in (ours, ours, theirs))
            assert np.allclose(one, other, rtol=CLOSE, atol=20 * CLOSE * max(1.0, np.abs(other).max())), (
                method
            )
            assert np.asarray(one).tobytes() == np.asarray(two).tobytes(), method


@pytest.mark.parametrize(("name", "seed"), [*((name, 1) for name in NETWORKS), ("images", 2), ("radial", 3)])
def test_random_configs_give_what_numpy_gives(name: str, seed: int) -> None:
    """One executor of 64 samples serves smaller batches too, which leave items of teams, and whole
    parts, without a vector.
    """
    ours, theirs = network(name, gpu(Drawn(seed))), network(name)
    executor, reference = grouped(ours, 64), theirs.executor(64)
    request = Request(outputs=True, losses=True, gradients="sum", input_gradient=True)
    for samples in (64, 9, 1, 7):
        x, t = (array.astype(np.float32) for array in batch(theirs, samples))
        results = []
        for one in (executor, executor, reference):
            one.set_parameters(theirs.parameters)
            results.append(one.start(one.upload(x, t, None), request).result())
        for field in ("gradient", "outputs", "losses", "input_gradient"):
            first, second, wanted = (np.asarray(getattr(result, field)) for result in results)
            assert np.abs(first - wanted).max() <= CLOSE * max(1.0, np.abs(wanted).max()), (field, samples)
            assert first.tobytes() == second.tobytes(), (field, samples)


def test_widths_groups_and_partial_sums_are_mixed_within_the_launches_above() -> None:
    """The same plans, without a device."""
    widths, group_sizes, partial_sums = set(), 0, 0
    for name, seed in (*((name, 1) for name in NETWORKS), ("images", 2), ("radial", 3)):
        found = grouping(network(name), 64, Drawn(seed))
        steps = calls(network(name).program, GRADIENT)
        for launch in _launches(found, steps):
            plans = [found.kernel(step) for step in launch.steps]
            widths.add(frozenset(plan.width for plan in plans))
            group_sizes = max(group_sizes, len({plan.reduction_group for plan in plans}))
            partial_sums = max(partial_sums, len({plan.partial_sums for plan in plans}))
    assert max(map(len, widths)) == 3, "vectors of 1, 2 and 4 samples side by side in one launch"
    assert group_sizes > 3 and partial_sums > 2


def test_configs_of_the_user_reach_grouped_passes() -> None:
    """Teams of two sizes and none, of several widths, in one launch of sums; what groups cannot have is
    left out.
    """
    chosen = {
        ("dense", "gradient_w"): KernelConfig(
            {"TILE_gradient_w_i": 2}, width=4, reduction_group=8, partial_sums=2
        ),
        ("dense", "gradient_b"): KernelConfig(width=2, reduction_group=32, group=(1, 1, 1)),
        ("dense", "forward_Z"): KernelConfig(width=2, constant=True, local=1, group=(2, 1, 1)),
        ("radial_basis", "gradient_c"): KernelConfig(width=1, reduction_group=1, partial_sums=3),
        ("radial_basis", "gradient_beta"): KernelConfig(reduction_group=64),
    }
    ours, theirs = network("radial", gpu(Fixed(chosen))), network("radial")
    x, t = batch(theirs, 64)
    found, wanted = (n.value_and_gradient(theirs.parameters, x, t)[1] for n in (ours, theirs))
    assert np.abs(found - wanted).max() <= CLOSE * np.abs(wanted).max()
    executor = grouped(ours, 64)
    plans = {(unit, name): plan for (unit, name), plan in executor.plan.kernels.items() if unit < 2}
    sums = ((0, "gradient_w"), (0, "gradient_b"), (1, "gradient_c"), (1, "gradient_beta"))
    assert [(plans[n].width, plans[n].reduction_group, plans[n].partial_sums) for n in sums] == [
        (4, 8, 2),
        (2, 32, 1),
        (1, 0, 3),
        (1, 64, 1),
    ]
    forward = plans[0, "forward_Z"]
    assert (forward.width, forward.group, forward.shares, forward.copies) == (2, None, (None,), False)
    ((_, launches),) = passes(executor)
    assert [part.kind for part in launches.launch_groups][-2:] == ["sums", "parts"]


@pytest.mark.parametrize("name", ["images", "radial"])
def test_a_candidate_runs_alone_in_a_grouped_pass(name: str) -> None:
    generator, backend = np.random.default_rng(5), gpu()
    for job in jobs(network(name, backend), 33, GRADIENT)[::3]:
        trials = Trials(job, backend)
        assert trials.space.device.grouped
        narrow = replace(trials.space, device=replace(trials.space.device, widest=4))
        trials.check(narrow.drawn(generator))


# --------------------------------------------------------------------------------------------------- launches
def grouping(net: Network, samples: int, configs: Any = None) -> Grouping:
    return gpu(configs).grouping(net.program.units, "float32", samples)


def in_queue(groups: Sequence[LaunchGroup]) -> list[LaunchGroup]:
    """In the order that they are queued in: stage by stage."""
    assert sorted({part.turn for part in groups}) == list(range(1 + max(part.turn for part in groups)))
    return sorted(groups, key=lambda part: part.turn)


def check_launches(steps: Sequence[Step], groups: Sequence[LaunchGroup], found: Grouping) -> None:
    """Every step is in one launch, and what it reads was written by an earlier one or by an earlier
    step of its stretch.
    """
    groups = in_queue(groups)
    assert groups == list(groups)
    computed = [step for part in groups if part.kind != "parts" for step in part.steps]
    assert len(computed) == len(steps) and {id(step) for step in computed} == {id(step) for step in steps}
    writer = {key: step for step in steps for key in step.use.writes}
    ready: set[str] = set()
    for part in groups:
        assert (
            part.steps
            and (part.kind != "single" or len(part.steps) == 1)
            and (part.kind != "stretch" or len(part.steps) > 1)
        )
        split = [step for step in part.steps if found.partial_sums(step) > 1]
        if part.kind == "parts":
            assert split == list(part.steps) and {partial_sums_key(step) for step in split} <= ready
            ready |= {key for step in part.steps for key in step.use.writes}
            continue
        written: set[str] = set()
        for step in part.steps:
            assert step.writes.samples is (part.kind != "sums")
            missing = {key for key in step.use.reads if key in writer} - ready
            assert missing <= (written if part.kind == "stretch" else set()), (
                f"{step.kernel.name} reads {missing} too early"
            )
            assert not missing or all(argument.samples for argument in step.reads if argument.key in missing)
            written |= {partial_sums_key(step)} if found.partial_sums(step) > 1 else set(step.use.writes)
        ready |= written
    assert {key for step in steps for key in step.use.writes} <= ready, "parts are added up"


@pytest.mark.parametrize("request_", REQUESTS, ids=["gradient", "forward", "input", "samples", "all"])
def test_every_step_is_in_one_launch_after_what_it_reads(request_: Request) -> None:
    lenet = MODELS["lenet"]
    nets = [network(name) for name in NETWORKS] + [
        Network(lenet.layers, (1, 28, 28), "ce", "numpy", "float32")
    ]
    for net in nets:
        steps = calls(net.program, request_)
        for samples, seed in ((1, None), (64, None), (500, None), (64, 1), (9, 2)):
            found = grouping(net, samples, None if seed is None else Drawn(seed))
            check_launches(steps, list(_launches(found, steps)), found)


def test_what_is_launched_is_what_was_checked() -> None:
    ours = network("images", gpu(Drawn(4)))
    x, t = batch(ours, 64)
    ours.value_and_gradient(ours.parameters, x, t)
    ours.forward(ours.parameters, x)
    executor = grouped(ours, 64)
    assert isinstance(executor.launcher, Grouping) and len(list(passes(executor))) == 2
    for steps, launches in passes(executor):
        check_launches(steps, launches.launch_groups, executor.launcher)
        assert len(launches.kernels) == len(launches.launch_groups)


def test_steps_with_little_to_do_share_a_launch_and_sums_are_one() -> None:
    """LeNet's convolutions have much to do; the softmax and its loss have little."""
    net = Network(MODELS["lenet"].layers, (1, 28, 28), "ce", "numpy", "float32")
    steps = calls(net.program, GRADIENT)
    found = list(_launches(grouping(net, 500), steps))
    kinds = [part.kind for part in found]
    assert kinds.count("sums") == 1 and kinds.count("parts") <= 1 and "single" in kinds
    head = {"forward_A", "forward_m", "forward_E", "forward_S", "head_ce_value", "head_ce_delta"}
    (shared,) = [part for part in found if head & {step.kernel.name for step in part.steps}]
    assert shared.kind == "stretch" and head <= {step.kernel.name for step in shared.steps}
    assert 2 * len(found) <= len(steps)
    last = len(net.program.layers) - 1
    tail = [
        step.kernel.name
        for part in found
        for step in part.steps
        if step.unit == last and step.kernel.role == "forward"
    ]
    assert tail == ["forward_A", "forward_m", "forward_E", "forward_S", "forward_Z"]


@pytest.mark.parametrize("partial_sums", [1, 2])
def test_parts_add_one_launch(partial_sums: int) -> None:
    names = (
        ("dense", "gradient_w"),
        ("dense", "gradient_b"),
        ("radial_basis", "gradient_c"),
        ("radial_basis", "gradient_beta"),
        ("linear_combination", "gradient_a"),
    )
    net = network("radial")
    steps = calls(net.program, GRADIENT)
    split = names[1:2] if partial_sums > 1 else ()
    whole = Fixed(
        {
            name: KernelConfig(reduction_group=32, partial_sums=partial_sums if name in split else 1)
            for name in names
        }
    )
    found = [part for part in _launches(grouping(net, 64, whole), steps) if part.kind in ("sums", "parts")]
    assert [part.kind for part in found] == (["sums", "parts"] if partial_sums > 1 else ["sums"])
    assert len(found[0].steps) == 5
    assert partial_sums == 1 or [step.kernel.name for step in found[1].steps] == ["gradient_b"]
    assert len({part.turn for part in found}) == 1


def test_apart_no_two_steps_share_a_launch() -> None:
    """What traces and benchmarks ask for."""
    ours = network("radial", gpu(Fixed({("dense", "gradient_w"): KernelConfig(partial_sums=2)})))
    x, t = (array.astype(np.float32) for array in batch(ours, 64))
    executor = grouped(ours, 64)
    executor.set_parameters(ours.parameters)
    resident = executor.upload(x, t, None)
    traced = list(executor.trace(resident, GRADIENT))
    assert [step for step, _ in traced] == list(calls(ours.program, GRADIENT))
    wanted = executor.start(resident, GRADIENT).result()
    values = {step.writes.key: value for step, value in traced}
    for one in ours.program.parameters:
        assert (
            wanted.gradient is not None
            and values[one.key("sum")].tobytes() == wanted.gradient[one.part].tobytes()
        )


# ----------------------------------------------------------------------------------------------------- memory
def test_copied_memory_gives_the_bits_of_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of several kinds in turn, over scratch memory that they share and that grows between them."""

    def results() -> list[bytes]:
        ours, found = network("radial", gpu(Drawn(7))), []
        for samples in (64, 9):
            x, t = batch(ours, samples)
            p = ours.parameters + 0.01 * np.random.default_rng(samples).normal(
                size=ours.parameter_count
            ).astype(np.float32)
            for _ in range(2):
                value, gradient = ours.value_and_gradient(p, x, t)
                found += [np.float64(value).tobytes(), gradient.tobytes(), ours.forward(p, x).tobytes()]
                found += [
                    ours.per_sample_gradients(p, x, t).tobytes(),
                    ours.value_and_gradient(p, x, t)[1].tobytes(),
                ]
                found += [ours.input_gradient(p, x, t).tobytes(), ours.forward(p, x).tobytes()]
        assert grouped(ours, 64).memory.shared is shared
        return found

    shared = True
    before = results()
    monkeypatch.setattr(memory, "shares_memory", lambda device: False)
    shared = False
    assert results() == before


def test_reduction_groups_of_all_sizes_side_by_side_fit_local_memory() -> None:
    """A launch has groups of its largest reduction group: several small ones share one, each with room for
    every item.
    """
    net = Network([layer("dense", maps=16)], (16,), "mse", "numpy", "float32")
    unit, steps = net.program.units[0], calls(net.program, GRADIENT)
    kernels = {kernel.name: kernel for kernel in unit.kernels}
    device = replace(traits(gpu(), "float32"), machine=Machine(64, 2**15, local=49152))
    for one, other in product((None, *REDUCTION_GROUPS), repeat=2):
        tiles = {"TILE_gradient_w_i": 8, "TILE_gradient_w_j": 8}
        chosen = {
            "gradient_w": KernelConfig(tiles, reduction_group=one),
            "gradient_b": KernelConfig(reduction_group=other),
        }
        if any(
            Space(unit, kernels[name], "float32", 64, device).illegal(config)
            for name, config in chosen.items()
        ):
            continue
        configs = Fixed({("dense", name): config for name, config in chosen.items()})
        found = Grouping(Plan(net.program.units, configs, "float32", 1, 64, device.machine))
        (number, launch), *_ = (
            (n, part) for n, part in enumerate(_launches(found, steps)) if part.kind == "sums"
        )
        text = Writer(found.plan, number, launch, parts_of_vectors(net.program), {}).text()
        needed = re.search(r"__local float groups\[(\d+)\]", text)
        assert needed is not None and int(needed[1]) * 4 <= 49152, (one, other)


def test_tensors_begin_where_they_are_put_and_parameters_at_their_part() -> None:
    program = network("radial").program
    vectors = parts_of_vectors(program)
    for step in calls(program, GRADIENT):
        names = keys([step], vectors)
        offsets, bases = (
            {name: 128 * n for n, name in enumerate(names)},
            {f"b{n}": 10**6 * n for n in range(len(names))},
        )
        for key, text in zip(step.keys, given(step, names, vectors, 4, offsets), strict=True):
            vector, part = vectors.get(key, (key, slice(0, 0)))
            number = names.index(vector)
            assert eval(text.removeprefix("(__global void *)"), bases) == number * (10**6 + 128) + 4 * (
                part.start or 0
            ), key


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_two_tensors_overlap_that_one_launch_has_alive(name: str, apart: bool) -> None:
    """Whatever is written before and read later, or is touched by any step of the launch, whichever
    sample is at it.
    """
    net, smaller = network(name), 0
    for request in REQUESTS:
        steps = calls(net.program, request)
        for samples, seed in ((64, None), (64, 1), (9, 2)):
            found = grouping(net, samples, None if seed is None else Drawn(seed))
            counts = {}
            for step in steps:
                for key in step.use.writes:
                    info = net.program.buffers[key]
                    counts[key] = info.units * (found.plan.capacity if info.samples else 1)
                if found.partial_sums(step) > 1:
                    counts[partial_sums_key(step)] = found.partial_sums(step) * step.writes.extent.units
            layout = found.scratch(steps, counts, 32, apart)
            assert set(layout.offsets) == set(counts) and all(
                start % 32 == 0 for start in layout.offsets.values()
            )
            launches = (
                [(step,) for step in steps] if apart else [part.steps for part in _launches(found, steps)]
            )
            touched = [
                {key for step in launch for key in (*step.use.keys, partial_sums_key(step))} & set(counts)
                for launch in launches
            ]
            for number in range(len(launches)):
                before, after = set().union(*touched[: number + 1]), set().union(*touched[number:])
                alive = sorted(
                    (layout.offsets[key], layout.offsets[key] + counts[key], key) for key in before & after
                )
                for (_, stop, one), (start, _, other) in pairwise(alive):
                    assert stop <= start, f"{one} and {other} in launch {number}"
            smaller += layout.total < sum(max(1, count) for count in counts.values())
    assert smaller or not apart


def test_passes_before_change_no_bit() -> None:
    """Teams depend on how many samples there are, so another capacity serves where it shares them out
    alike, and for outputs.
    """
    used, fresh = network("images", gpu()), network("images", gpu())
    for samples in (64, 150):
        used.value_and_gradient(used.parameters, *batch(used, samples))
    for samples in (9, 33):
        x, t = batch(fresh, samples)
        found, expected = (net.value_and_gradient(fresh.parameters, x, t) for net in (used, fresh))
        assert found[0] == expected[0] and found[1].tobytes() == expected[1].tobytes()
        assert used.forward(fresh.parameters, x).tobytes() == fresh.forward(fresh.parameters, x).tobytes()
    before = len(used._executors.built)
    used.forward(fresh.parameters, batch(fresh, 21)[0])
    assert len(used._executors.built) == before, "outputs need no executor of their own"
