"""Whatever legal configurations are drawn, every kernel gives what NumPy gives, and the same bits in every
run.

Slow because every configuration that is drawn is another text, which the compiler has to build: some hundred
programs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from phiz.codegen.folder import write
from phiz.codegen.generate import generate
from phiz.codegen.user_file import combined, load_definitions
from phiz.runtime.manifest.loading import builtin
from phiz.runtime.manifest.records import KernelInfo
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.executor import OpenCLExecutor
from phiz.runtime.opencl.launch.fused import Fusion
from phiz.runtime.opencl.plan.config import KernelConfig
from phiz.runtime.program.layer import LayerSpec, layer
from phiz.runtime.program.program import Unit
from phiz.runtime.tuner.space.space import Space
from phiz.runtime.tuner.space.traits import traits
from phiz.runtime.verify.layer import LayerCheck
from phiz.runtime.verify.random_configuration import random_configuration

from tests.runtime.tuner.compared import compare

LAYERS = Path(__file__).resolve().parents[3] / "layers"

CONNECTIONS = {"D": {"j": [0, 1, 2, 3, 4, 0, 3], "i": [6, 0, 1, 2, 3, 4, 5]}}
IMAGES = [
    layer("convolution", maps=5, kernel=3, stride=2, padding_low=1, padding_high=2, activation="tanh"),
    layer("max_pooling", window=2),
    layer("convolution", maps=7, kernel=2, dilation=2, activation="sigmoid", connections=CONNECTIONS),
    layer("softmax", maps=3),
]
UNITS = [layer("dense", maps=11, activation="tanh"), layer("radial_basis", maps=6), layer("dense", maps=3)]
POOLED = [
    layer("convolution", maps=9, kernel=(3, 5), activation="relu"),
    layer("subsampling", window=2, activation="tanh"),
]


class Drawn:
    """A random legal configuration for every kernel; the kernels of a layer share their vector width, and so
    their program.

    ``fused``: such as leave passes fused, which is to say that the vector width and the work group stay as
    they are.
    """

    def __init__(self, backend: OpenCLBackend, seed: int, fused: bool) -> None:
        self.backend, self.seed, self.fused = backend, seed, fused
        self.found: dict[tuple[str, str, int], KernelConfig] = {}

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        """The same for the same question."""
        name = (unit.label, kernel.name, samples)
        if name not in self.found:
            device = traits(self.backend, dtype)
            widths = [n for n in device.widths if n <= device.width]
            width = widths[(self.seed + len(unit.label) + len(unit.file)) % len(widths)]
            generator = np.random.default_rng([self.seed, len(self.found)])
            if self.fused or unit.is_sample_outer:
                self.found[name] = Space(unit, kernel, dtype, samples, replace(device, fused=True)).drawn(
                    generator
                )
                return self.found[name]
            space = Space(unit, kernel, dtype, samples, device)
            drawn = (space.drawn(generator) for _ in range(40 * len(widths)))
            fitting = list(islice((s for s in drawn if (s.width or device.width) == width), 8))
            seen = set().union(*map(choices, self.found.values()))
            self.found[name] = max(
                fitting, key=lambda s: len(choices(s) - seen), default=KernelConfig(width=width)
            )
        return self.found[name]


def choices(config: KernelConfig) -> set[str]:
    """What a configuration chooses; of several that fit, the first that adds most to what was seen is
    taken.
    """
    made = {
        "tiles": bool(config.tiles),
        "group": config.group is not None,
        "parts": (config.partial_sums or 1) > 1,
        "constant": config.constant,
        "local": config.local is not None,
    }
    return {name for name, chosen in made.items() if chosen}


def pair(
    layers: list[LayerSpec],
    shape: tuple[int, ...],
    loss: str,
    dtype: str,
    seed: int,
    folder: Path | None,
    fused: bool,
) -> list[Network]:
    """The network with drawn configurations, and with NumPy."""
    backend = OpenCLBackend(fuse=fused)
    backend.configs = Drawn(backend, seed, fused)
    manifests = () if folder is None else (folder,)
    return [Network(layers, shape, loss, b, dtype, manifests=manifests) for b in (backend, "numpy")]


CASES: dict[str, Callable[[], tuple[list[LayerSpec], tuple[int, ...], str]]] = {
    "images": lambda: (IMAGES, (2, 13, 11), "ce"),
    "units": lambda: (UNITS, (9,), "mse"),
    "pooled": lambda: (POOLED, (3, 8, 10), "mse"),
}


LAUNCHED = (
    ("images", 9, "float32"), ("images", 1000, "float32"), ("units", 7, "float32"), ("units", 64, "float64"),
    ("pooled", 1, "float32"), ("pooled", 8, "float32"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "samples", "dtype", "fused"),
    [*(pytest.param(*case, False, marks=pytest.mark.quickly_built) for case in LAUNCHED),
     ("images", 1, "float32", True), ("images", 64, "float32", True), ("units", 7, "float64", True),
     ("units", 1000, "float32", True), ("pooled", 8, "float32", True), ("pooled", 9, "float32", True)],
)  # fmt: skip
def test_random_legal_configs_of_built_in_layers(name: str, samples: int, dtype: str, fused: bool) -> None:
    layers, shape, loss = CASES[name]()
    networks = pair(layers, shape, loss, dtype, samples, None, fused)
    compare(networks, samples, samples)
    backend = networks[0].backend
    assert isinstance(backend, OpenCLBackend)
    assert isinstance(backend.configs, Drawn)
    executor = networks[0].executor(samples)
    assert isinstance(executor, OpenCLExecutor)
    assert isinstance(executor.launcher, Fusion) is fused
    drawn = list(backend.configs.found.values())
    assert any(s.tiles for s in drawn)
    assert any(s.group is not None for s in drawn) is not fused
    sums = [
        s.partial_sums for (_, kernel, _), s in backend.configs.found.items() if kernel.startswith("gradient")
    ]
    assert any((n or 1) > 1 for n in sums) is not fused or samples < 64
    assert any(s.constant for s in drawn) is not fused or samples < 64
    assert any(s.local is not None for s in drawn) is not fused or samples < 1000


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers that phiz does not know, generated."""
    files = [LAYERS / name for name in ("depthwise.py", "locally_connected.py", "bilinear.py")]
    needed, _ = combined(load_definitions(files))
    path = tmp_path_factory.mktemp("definitions")
    write(path, generate(needed.families, needed.activations, needed.losses).files)
    return path


@pytest.mark.parametrize(("samples", "seed"), [pytest.param(7, 1, marks=pytest.mark.quickly_built), (64, 2)])
def test_random_legal_configs_of_the_users_layers(definitions: Path, samples: int, seed: int) -> None:
    layers = [
        layer("depthwise", kernel=3, activation="tanh"),
        layer("locally_connected", maps=4, kernel=3, activation="tanh"),
        layer("dense", maps=3),
    ]
    compare(pair(layers, (3, 9, 8), "mse", "float32", seed, definitions, seed == 2), samples, seed)


@pytest.mark.quickly_built
@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("convolution_2d_table", 1),
        ("convolution_1d", 2),
        ("subsampling_2d", 3),
        ("max_pooling_2d", 4),
        ("softmax", 5),
        ("irregular", 6),
    ],
)
def test_verification_passes_under_random_configs(name: str, seed: int) -> None:
    """Finite differences, adjoints and Taylor slopes as ``phiz verify`` takes them, in both precisions."""
    manifest = builtin()
    generator = np.random.default_rng([seed, len(name)])
    configuration = random_configuration(manifest, manifest.layers[name], "tanh", "sigmoid", generator)
    backend = OpenCLBackend()
    backend.configs = Drawn(backend, seed, False)
    rows = list(
        LayerCheck(configuration, manifest.activation("sigmoid"), generator, backend, numpy=False).rows()
    )
    assert {row.dtype for row in rows} == {"float32", "float64"}
    assert len(rows) > 8
    assert [f"{row.kernel} {row.check} {row.error} {row.note}" for row in rows if not row.passed] == []
