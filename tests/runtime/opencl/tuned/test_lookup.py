"""Which configuration a network gets: the user's, a shipped one, or the default; and never one of
another kernel or device.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from phiz.runtime.manifest.loading import load_manifest
from phiz.runtime.manifest.records import KernelInfo
from phiz.runtime.network.backends import make_backend
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.device import device as devices
from phiz.runtime.opencl.plan.config import DEFAULT, KernelConfig
from phiz.runtime.opencl.tuned import identity
from phiz.runtime.opencl.tuned.cache import Cache
from phiz.runtime.opencl.tuned.identity import (
    current,
    device_class,
    kernel_record,
    key,
    place,
    sample_classes,
)
from phiz.runtime.opencl.tuned.lookup import Tuned, shipped_files
from phiz.runtime.opencl.tuned.record import Entry
from phiz.runtime.opencl.tuned.ship import ship
from phiz.runtime.program.layer import layer
from phiz.runtime.program.program import Unit

from tests.runtime.tuner.planted import TILE, planted, tile

WANTED = tile(4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return planted(tmp_path / "kernels")


def unit_of(folder: Path, outputs: int = 8, activation: str = "tanh") -> tuple[Unit, KernelInfo]:
    network = Network(
        [layer("dense", units=outputs, activation=activation)],
        (5,),
        "mse",
        "numpy",
        manifests=load_manifest([folder], trust=True),
    )
    unit = network.program.units[0]
    return unit, next(kernel for kernel in unit.kernels if kernel.name == "forward_Z")


def entry(
    unit: Unit, kernel: KernelInfo, samples: int = 64, config: KernelConfig = WANTED, dtype: str = "float32"
) -> Entry:
    where = place(devices.choose()).record()
    return Entry(kernel_record(unit, kernel, dtype, samples), where, config, 1e-3, 5e-4, (), True)


def tuned(path: Path, *entries: Entry, shipped: dict[str, Entry] | None = None) -> Tuned:
    cache = Cache(path / "tuning.json")
    if entries:
        cache.store({key(e.kernel, e.place): e for e in entries})
    return Tuned(devices.choose(), cache, shipped or {})


def test_what_was_tuned_is_found_for_about_as_many_samples(tmp_path: Path, folder: Path) -> None:
    unit, kernel = unit_of(folder)
    found = tuned(tmp_path, entry(unit, kernel))
    for samples, config in [
        (64, WANTED),
        (33, WANTED),
        (100, WANTED),
        (256, WANTED),
        (16, WANTED),
        (257, DEFAULT),
        (8, DEFAULT),
    ]:
        assert found.find(unit, kernel, "float32", samples) == config, samples


def test_the_nearest_number_of_samples_counts(tmp_path: Path, folder: Path) -> None:
    unit, kernel = unit_of(folder)
    found = tuned(tmp_path, entry(unit, kernel, 64), entry(unit, kernel, 256, tile(8)))
    assert found.find(unit, kernel, "float32", 50) == WANTED
    assert found.find(unit, kernel, "float32", 200) == tile(8)
    assert sample_classes(1) == (1,)
    assert sample_classes(100) == (128, 256, 64, 512, 32)


def edited(folder: Path) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    text = (folder / "opencl/dense.cl").read_text() + "\n// another line\n"
    (folder / "opencl/dense.cl").write_text(text)
    data["files"]["opencl/dense.cl"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(data))


OTHERS: dict[str, Callable[[Path], tuple[Unit, KernelInfo]]] = {
    "sizes": lambda folder: unit_of(folder, outputs=9),
    "activation": lambda folder: unit_of(folder, activation="square"),
    "source": lambda folder: (edited(folder), unit_of(folder))[1],
}


@pytest.mark.parametrize("other", sorted(OTHERS))
def test_another_kernel_does_not_get_it(tmp_path: Path, folder: Path, other: str) -> None:
    unit, kernel = unit_of(folder)
    found = tuned(tmp_path, entry(unit, kernel))
    assert found.find(unit, kernel, "float32", 64) == WANTED
    assert found.find(*OTHERS[other](folder), "float32", 64) == DEFAULT
    assert found.find(unit, kernel, "float64", 64) == DEFAULT


@pytest.mark.parametrize("name", ["platform", "device", "driver", "cpu", "units"])
def test_another_device_does_not_get_it(tmp_path: Path, folder: Path, name: str) -> None:
    unit, kernel = unit_of(folder)
    mine = entry(unit, kernel)
    changed = 99 if name == "units" else "another"
    assert (
        tuned(tmp_path, replace(mine, place={**mine.place, name: changed})).find(unit, kernel, "float32", 64)
        == DEFAULT
    )


def test_other_defaults_make_old_times_worthless(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit, kernel = unit_of(folder)
    found = tuned(tmp_path, entry(unit, kernel))
    monkeypatch.setattr(identity, "DEFAULTS_VERSION", identity.DEFAULTS_VERSION + 1)
    assert found.find(unit, kernel, "float32", 64) == DEFAULT


@pytest.mark.parametrize(
    "config", [KernelConfig({"TILE_other": 2}), KernelConfig(width=7), KernelConfig(width=64)]
)
def test_a_config_that_does_not_fit_is_not_used(tmp_path: Path, folder: Path, config: KernelConfig) -> None:
    unit, kernel = unit_of(folder)
    assert tuned(tmp_path, entry(unit, kernel, config=config)).find(unit, kernel, "float32", 64) == DEFAULT


def test_fused_passes_take_no_widths_and_groups_of_single_launches(tmp_path: Path, folder: Path) -> None:
    unit, kernel = unit_of(folder)
    for number, config in enumerate(
        [KernelConfig({TILE: 4}, width=4), KernelConfig(group=(1, 2, 1)), WANTED]
    ):
        tuned(tmp_path / str(number), entry(unit, kernel, config=config))
        cache = Cache(tmp_path / str(number) / "tuning.json")
        for fused in (False, True):
            found = Tuned(devices.choose(), cache, {}, fused).find(unit, kernel, "float32", 64)
            assert found == (DEFAULT if fused and config != WANTED else config)


def test_the_users_own_counts_before_what_is_shipped(tmp_path: Path, folder: Path) -> None:
    unit, kernel = unit_of(folder)
    where = device_class(devices.choose()).record()
    shipped = {
        key(kernel_record(unit, kernel, "float32", 64), where): replace(entry(unit, kernel), place=where)
    }
    assert tuned(tmp_path / "a", shipped=shipped).find(unit, kernel, "float32", 64) == WANTED
    own = entry(unit, kernel, config=DEFAULT)
    assert tuned(tmp_path / "b", own, shipped=shipped).find(unit, kernel, "float32", 64) == DEFAULT


def test_a_network_keeps_the_configs_that_it_began_with(tmp_path: Path, folder: Path) -> None:
    unit, kernel = unit_of(folder)
    found = tuned(tmp_path)
    assert found.find(unit, kernel, "float32", 64) == DEFAULT
    mine = entry(unit, kernel)
    Cache(tmp_path / "tuning.json").store({key(mine.kernel, mine.place): mine})
    assert found.find(unit, kernel, "float32", 64) == DEFAULT
    assert tuned(tmp_path).find(unit, kernel, "float32", 64) == WANTED


def test_networks_look_configs_up(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIZ_CACHE", str(tmp_path))
    unit, kernel = unit_of(folder)
    tuned(tmp_path, entry(unit, kernel))
    backend = make_backend("opencl")
    assert isinstance(backend, OpenCLBackend)
    assert backend.plan((unit,), "float32", 64).kernels[0, "forward_Z"].tiles == {TILE: 4}
    assert OpenCLBackend().plan((unit,), "float32", 64).kernels[0, "forward_Z"].tiles != {TILE: 4}, (
        "verification tests the defaults"
    )


# ---------------------------------------------------------------------------------------------------- shipped
def test_shipped_files_are_well_formed_and_small() -> None:
    for file in shipped_files():
        for name, found in file.entries.items():
            assert name == key(found.kernel, found.place)
            assert found.config != DEFAULT
            assert found.ratio <= 0.95
            assert found.trials == ()


def test_shipping_keeps_winners_of_a_class_and_drops_what_changed(tmp_path: Path) -> None:
    network = Network([layer("dense", maps=8)], (5,), "mse", "numpy")
    unit = network.program.units[0]
    kernel = next(kernel for kernel in unit.kernels if kernel.name == "forward_Z")
    macro = next(iter(kernel.tiles))
    fast = entry(unit, kernel, config=KernelConfig({macro: 1}))
    stale = replace(fast, kernel={**fast.kernel, "source": "of yesterday", "samples": 32})
    slow = entry(unit, kernel, 16, DEFAULT)
    path, device = tmp_path / "class.json", devices.choose()
    assert current(fast.kernel)
    assert not current(stale.kernel)
    assert ship(path, [stale, slow], device) == 1
    assert ship(path, [fast], device) == 1, "what another text was measured with is dropped"
    (record,) = json.loads(path.read_text())["entries"].values()
    assert record["place"] == device_class(device).record()
    assert "cpu" not in record["place"], "the class names no exact processor"
    again = replace(fast, config=DEFAULT)
    assert ship(path, [again], device) == 0, "what does not win any more goes"


def test_every_shipped_config_is_of_the_kernels_and_defaults_of_now() -> None:
    files = shipped_files()
    assert {file.name for file in files} >= {"nvidia.json", "pocl_avx2.json"}
    for file in files:
        assert file.entries, file.name
        for found in file.entries.values():
            assert found.kernel["defaults"] == identity.DEFAULTS_VERSION
            assert current(found.kernel), f"{file.name}: {found.kernel}"
    assert not current({**found.kernel, "source": "of yesterday"})
    assert not current({**found.kernel, "defaults": identity.DEFAULTS_VERSION + 1})
