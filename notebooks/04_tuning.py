# %% [markdown]
# # What the tuner sees
#
# A committed kernel leaves open how it runs: the sizes of its register tiles, the samples per vector, the
# work group. Models that count memory accesses order the choices; measurements on the device decide. This
# notebook shows both as pictures:
#
# 1. the paper's Algorithm 4, which counts global accesses over local sizes;
# 2. the same idea one level down: loads per multiply-add over register tiles, beside measured GFLOP/s;
# 3. what the vector width does to batches of different sizes;
# 4. samples or units in the lanes of a vector, on few samples and on many;
# 5. a short run of the tuner itself.
#
# Nothing is ever tuned unasked: `phiz tune` does what section 5 does, into the user's cache.

# %%
import tempfile
from math import prod
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from scipy.stats import spearmanr

from phiz.benchmarks.paper.rig.timing import race
from phiz.runtime import KernelConfig, Network, OpenCLBackend, Request, layer
from phiz.runtime.tuner.space.local_size import (
    LocalSizeProblem,
    accesses,
    optimal_local_size,
    padded,
    rejections,
)
from phiz.runtime.opencl.plan.kernel_problem import kernel_problem
from phiz.runtime.opencl.plan.cpu_cost_model import loads, registers
from phiz.runtime.opencl.tuned.cache import Cache
from phiz.runtime.tuner.trials.jobs import jobs
from phiz.runtime.tuner.report import row
from phiz.runtime.tuner.trials.trial import Trials
from phiz.runtime.tuner.tune import tune_on_device

plt.rcParams.update(
    {
        "figure.dpi": 96,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
    }
)
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7a7a7a"

# %% [markdown]
# ## 1. Algorithm 4: counted accesses over local sizes
#
# A work group of $S_{lx} \times S_{ly}$ outputs that loads its inputs into local memory once makes
#
# $$S_z\, O_x O_y \left(1 + \frac{(S_{lx} + R_x)(S_{ly} + R_y)}{S_{lx} S_{ly}}\right), \qquad R = F - 1,$$
#
# global accesses (the paper's formula with its errata corrected; the outputs are padded to whole groups).
# Larger groups count
# less, until a limit binds: the work group, the local memory, or that every one of $U$ compute units must get
# a group. White is
# refused: to the upper right by these limits, the stripes because whole groups would need more than ten
# padded outputs. The cross is what `optimal_local_size` returns, in milliseconds, without trying them all.

# %%
SIDE = 64
problem = LocalSizeProblem(
    size=(68, 68),
    taps=(5, 5),
    maps=6,
    units=16,
    work_group=1024,
    local_memory=4096,
    max_local=(SIDE, SIDE),
    max_padding=10,
)


def counted(local):
    """Accesses with the least padding that makes whole groups; NaN where Algorithm 4 refuses."""
    padding = tuple(-o % n for o, n in zip(problem.outputs, local, strict=True))
    return np.nan if rejections(problem, local, padding) else accesses(problem, local, padding)


best = optimal_local_size(problem)
counts = np.array([[counted((x, y)) for x in range(1, SIDE + 1)] for y in range(1, SIDE + 1)])
figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.3), layout="constrained")
picture = left.imshow(
    counts / 1e3, origin="lower", extent=(0.5, SIDE + 0.5, 0.5, SIDE + 0.5), cmap="cividis",
    norm=LogNorm(vmin=np.nanmin(counts) / 1e3, vmax=200),
)  # fmt: skip
left.plot(*best.local, "x", color="#D55E00", markersize=11, markeredgewidth=2.5)
left.set(
    title="Counted global accesses, thousands", xlabel="$S_{lx}$, work items", ylabel="$S_{ly}$, work items"
)
left.grid(False)
figure.colorbar(picture, ax=left, extend="max", format="%g", ticks=[60, 80, 100, 140, 200])

area = np.multiply.outer(np.arange(1, SIDE + 1), np.arange(1, SIDE + 1))
right.scatter(area, counts / 1e3, s=6, color=BLUE, alpha=0.5, linewidths=0)
cross = {"color": ORANGE, "markersize": 11, "markeredgewidth": 2.5}
right.plot(prod(best.local), best.accesses / 1e3, "x", **cross, label=f"Algorithm 4: {best.local}")
right.set(
    title="The same over the size of the group", xlabel="work items of a group", ylabel="accesses, thousands"
)
right.set(xscale="log", yscale="log")
right.set_yticks([60, 100, 200, 500], ["60", "100", "200", "500"])
right.set_yticks([], minor=True)
right.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
right.set_xticks([], minor=True)
right.legend(frameon=False)
print(
    f"{best.local} with padding {best.padding}: {best.accesses} accesses; what binds: "
    f"{', '.join(best.binding)}"
)
print(
    f"outputs {problem.outputs}, launched {padded(problem, best.padding)}; groups of one: "
    f"{counts[0, 0]:.0f} accesses"
)
assert best.accesses <= np.nanmin(counts)
plt.show()

# %% [markdown]
# How much such a count is worth depends on the device. `phiz bench --paper local-memory` times the kernel
# with local memory
# beside the one without: a CPU's caches do by themselves what local memory does by hand.
#
# ## 2. Register tiles: predicted loads beside measured speed
#
# The kernels that run on a CPU keep their tile in registers. A tile of $a \times b$ accumulators loads $a +
# b$ numbers for $a\,b$ multiply-adds. Which axes can be tiled follows from the access maps: an axis that an
# operand does not depend on is one along which that operand is used again. Here: the forward kernel of
# LeNet's second convolution, 5×5 filters from 6 maps of 12×12 to 16 maps, 128 samples, float32. Every
# candidate's numbers are compared with the NumPy kernel before it is timed.

# %%
backend = OpenCLBackend(fuse=False)  # every kernel in launches of its own


def second_convolution(samples):
    """Trials of the forward kernel for passes of so many samples."""
    layers = [layer("convolution", maps=16, kernel=5, activation="tanh"), layer("softmax", maps=10)]
    network = Network(layers, (6, 12, 12), "ce", backend="numpy", dtype="float32", seed=0)
    return Trials(
        next(job for job in jobs(network, samples, Request(outputs=True)) if job.kernel.role == "forward"),
        backend,
    )


def operations(samples):
    """Floating-point operations of the convolution."""
    return 2 * 16 * 8 * 8 * 6 * 5 * 5 * samples


trials = second_convolution(128)
space, kernel = trials.space, trials.job.kernel
tiled = kernel_problem(space.unit, kernel, space.vectors(space.width), space.lanes(space.width))
default = tuple(space.default.tiles.values())
for macro, extent, size in zip(kernel.tiles, tiled.extents, default, strict=True):
    print(f"{macro}: 1 to {extent}, default {size}")
print(f"{space.device.machine.registers} vector registers of {space.device.width} floats")

ranked = space.tilings()
chosen = [
    s for n, s in enumerate(ranked) if n % (len(ranked) // 12) == 0 or tuple(s.tiles.values()) == default
]
tiles = [tuple(schedule.tiles.values()) for schedule in chosen]
found = race(
    {tile: trials.check(s).launch for tile, s in zip(tiles, chosen, strict=True)},
    rounds=9,
    block=2e-3,
    budget=3,
)
rate = {tile: 1e-9 * operations(128) / seconds for tile, seconds in found.medians().items()}
per_step = {tile: loads(tiled, tile) / prod(tile) for tile in tiles}
spilled = {tile: registers(tiled, tile) > space.device.machine.registers for tile in tiles}

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.1), layout="constrained", sharey=True)
for spills, colour, marker, label in (
    (False, BLUE, "o", "fits the registers"),
    (True, ORANGE, "^", "spills"),
):
    some = [tile for tile in tiles if spilled[tile] == spills]
    left.plot(
        [per_step[t] for t in some], [rate[t] for t in some], marker, color=colour, alpha=0.8, label=label
    )
    right.plot([registers(tiled, t) for t in some], [rate[t] for t in some], marker, color=colour, alpha=0.8)
for axes, place in ((left, per_step), (right, {tile: registers(tiled, tile) for tile in tiles})):
    axes.plot(
        place[default],
        rate[default],
        "s",
        markersize=13,
        markerfacecolor="none",
        color="black",
        label="the default",
    )
fastest = max(rate, key=rate.get)
left.annotate(
    "×".join(map(str, fastest)),
    (per_step[fastest], rate[fastest]),
    (6, 6),
    textcoords="offset points",
    fontsize=9,
)
right.axvline(space.device.machine.registers, color=GREY, linestyle="--", linewidth=1)
right.text(
    space.device.machine.registers * 1.05,
    max(rate.values()),
    "all registers",
    fontsize=9,
    color=GREY,
    va="top",
)
left.set(
    title="Fewer loads are faster …", xlabel="predicted loads per multiply-add", ylabel="measured GFLOP/s"
)
left.set(xscale="log", ylim=(0, None))
left.set_xticks([0.5, 1, 2], ["0.5", "1", "2"])
left.set_xticks([], minor=True)
right.set(title="… while the tile fits the registers", xlabel="registers that the tile needs", xscale="log")
right.set_xticks([4, 8, 16, 32, 64], ["4", "8", "16", "32", "64"])
right.set_xticks([], minor=True)
left.legend(frameon=False, loc="upper right")
plt.show()

agreement = spearmanr(range(len(tiles)), [-rate[tile] for tile in tiles]).statistic
print(
    f"fastest {fastest}: {rate[fastest]:.0f} GFLOP/s, slowest {min(rate.values()):.0f}; default "
    f"{rate[default]:.0f}"
)
print(f"rank correlation of predicted cost and measured time over {len(tiles)} tiles: {agreement:+.2f}")

# %% [markdown]
# The model only orders the candidates: a search that begins with the least predicted cost finds a good tile
# early, and a wrong prediction costs time, never correctness.
#
# ## 3. Vector width and batch
#
# Samples are the innermost axis, so that one vector holds neighbouring samples and every load is contiguous.
# A pass is padded to whole vectors of the device's own width, so that narrower vectors save no padding here:
# they only need more instructions for the same lanes. Tiles are the default's, fitted to width and batch.

# %%
WIDTHS, BATCHES = space.device.widths, (1, 8, 64, 256)
times = {}
for batch in BATCHES:
    trials = second_convolution(batch)
    runs = {width: trials.check(KernelConfig(width=width)).launch for width in WIDTHS}
    times[batch] = race(runs, rounds=9, block=2e-3, budget=1).medians()

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.0), layout="constrained")
shades = plt.get_cmap("viridis")(np.linspace(0.0, 0.85, len(WIDTHS)))
for width, shade, marker in zip(WIDTHS, shades, "osD^v", strict=False):
    left.plot(
        BATCHES, [1e6 * times[b][width] / b for b in BATCHES], marker + "-", color=shade, label=f"{width}"
    )
    right.plot(
        BATCHES,
        [1e-9 * operations(b) / times[b][width] for b in BATCHES],
        marker + "-",
        color=shade,
        label=f"{width}",
    )
left.set(title="Time per sample", xlabel="batch, samples", ylabel="µs per sample", xscale="log", yscale="log")
right.set(
    title="Useful work: padding does not count",
    xlabel="batch, samples",
    ylabel="GFLOP/s",
    xscale="log",
    ylim=(0, None),
)
for axes in (left, right):
    axes.set_xticks(BATCHES, [str(b) for b in BATCHES])
    axes.set_xticks([], minor=True)
left.set_yticks([3, 10, 30, 100, 300], ["3", "10", "30", "100", "300"])
left.set_yticks([], minor=True)
left.legend(title="samples per vector", frameon=False, fontsize=8)
plt.show()
for batch in BATCHES:
    width = min(times[batch], key=times[batch].get)
    print(
        f"batch {batch:4}: fastest at width {width:2}, {1e6 * times[batch][width] / batch:6.2f} µs per sample"
    )

# %% [markdown]
# ## 4. What fills the lanes
#
# With samples in the lanes one sample costs as much as a whole vector of them. Every kernel therefore comes
# in a second form: samples lie one after the other, and lanes go along an axis of units that the access maps
# allow. Both forms do the same multiply-adds; the vectors and cycles that they take are counted, and the form
# with clearly fewer runs.

# %%
COUNTS = (1, 4, 8, 16, 64)
OUTPUTS = Request(outputs=True)
lenet = [
    layer("convolution", maps=6, kernel=5, activation="tanh"),
    layer("max_pooling", window=2),
    layer("convolution", maps=16, kernel=5, activation="tanh"),
    layer("max_pooling", window=2),
    layer("dense", maps=120, activation="tanh"),
    layer("dense", maps=84, activation="tanh"),
    layer("softmax", maps=10),
]
backend = OpenCLBackend()
program = Network(lenet, (1, 28, 28), "ce", backend=backend, dtype="float32", seed=0).program


def inference(samples, rows):
    """LeNet's outputs on so many samples that are on the device, in one form."""
    executor = backend.executor(program, "float32", backend.capacity(program, "float32", samples, rows), rows)
    executor.set_parameters(np.random.default_rng(0).normal(0, 0.1, program.parameter_count))
    resident = executor.upload(np.random.default_rng(1).normal(size=(samples, 784)), None, None)
    return lambda count: [executor.start(resident, OUTPUTS).result() for _ in range(count)]


forms = {rows: [] for rows in (False, True)}
chosen = [backend.prefers_sample_outer(program, "float32", samples, OUTPUTS) for samples in COUNTS]
for samples in COUNTS:
    found = race({rows: inference(samples, rows) for rows in forms}, rounds=9, block=2e-3, budget=1).medians()
    for rows, seconds in found.items():
        forms[rows].append(seconds)

# %%
figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for rows, colour, label in ((False, BLUE, "samples in the lanes"), (True, ORANGE, "units in the lanes")):
    axes.plot(
        COUNTS,
        [1e6 * t / n for t, n in zip(forms[rows], COUNTS, strict=True)],
        "o-",
        color=colour,
        label=label,
    )
taken = [1e6 * forms[rows][k] / n for k, (n, rows) in enumerate(zip(COUNTS, chosen, strict=True))]
axes.plot(
    COUNTS, taken, "o", color="none", markeredgecolor="black", markersize=12, label="what the count chooses"
)
axes.set(title="LeNet, inference", xlabel="samples", ylabel="µs per sample", xscale="log", yscale="log")
axes.set_xticks(COUNTS, [str(n) for n in COUNTS])
axes.set_xticks([], minor=True)
axes.legend(frameon=False, fontsize=8)
plt.show()
for k, samples in enumerate(COUNTS):
    print(
        f"{samples:3} samples: samples in the lanes take {forms[False][k] / forms[True][k]:4.2f} times as "
        "long as units; "
        f"chosen: {'units' if chosen[k] else 'samples'}"
    )

# %% [markdown]
# ## 5. A short run of the tuner
#
# The second convolution within a network, a budget of a few seconds, a cache in a temporary folder. Kernels
# run as they do in
# training: on a CPU a pass is fused, one launch for many kernels, which leaves the tiles to choose.
# Candidates run in alternation with the default, after their numbers were compared with the NumPy kernel's;
# one that could take its process along is tried in a child process. A candidate is kept only where it takes
# at most 95 % of the default's time in a second, longer comparison.

# %%
BUDGET = 4.0
layers = [
    layer("convolution", maps=6, kernel=5, activation="tanh"),
    layer("max_pooling", window=2),
    layer("convolution", maps=16, kernel=5, activation="tanh"),
    layer("softmax", maps=10),
]
network = Network(layers, (1, 28, 28), "ce", backend="numpy", dtype="float32", seed=0)
work = [job for job in jobs(network, 128, Request(gradients="sum")) if job.unit is network.program.units[2]]
with tempfile.TemporaryDirectory() as folder:
    cache = Cache(Path(folder) / "tuning.json")
    tuning = tune_on_device(work, OpenCLBackend(), cache, BUDGET)
    kept = len(cache.entries())

print(f"{'kernel':34}{'default µs':>11}{'tuned µs':>10}{'ratio':>7}{'tried':>7}{'refused':>9}  configuration")
for name, entry in tuning.entries:
    line = row(entry, name)
    times = f"{1e3 * line.default_ms:11.1f}{1e3 * line.ms:10.1f}{line.ratio:7.2f}"
    figures = f"{times}{line.tried:7}{len(line.refused):9}"
    print(f"{name:34}{figures}  {line.configuration}")
print(
    f"{tuning.tried} candidates in {tuning.seconds:.0f} s, {kept} entries kept; {tuning.left} kernels "
    "have more to try"
)
assert not tuning.broken and kept == len(tuning.entries) > 0
assert all(entry.ratio <= 1 for _, entry in tuning.entries)

# %%
figure, axes = plt.subplots(figsize=(9.6, 0.42 * len(tuning.entries) + 1.3), layout="constrained")
for number, (_, entry) in enumerate(tuning.entries):
    ratios = [trial.ratio for trial in entry.trials if not trial.refused]
    first = number == 0
    axes.plot(
        ratios,
        [number] * len(ratios),
        "o",
        color=BLUE,
        alpha=0.4,
        markersize=6,
        label="candidates" if first else None,
    )
    axes.plot(entry.ratio, number, "D", color=ORANGE, markersize=7, label="kept" if first else None)
axes.axvline(1.0, color=GREY, linestyle="--", linewidth=1)
axes.set_yticks(range(len(tuning.entries)), [name for name, _ in tuning.entries], fontsize=8)
axes.invert_yaxis()
axes.set(xscale="log", xlabel="time / time of the default", title="Candidates beside the default")
axes.set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
axes.set_xticks([], minor=True)
axes.legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# `phiz tune` does this for a network of one's own and prints the same table; `phiz tune --show` prints what
# the cache holds; `phiz bench --paper` re-measures the paper's advice on the device at hand.
