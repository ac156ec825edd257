"""Draws bad arguments and files, and counts those that end in anything but one clear line.

    python -m tests.bad_input --count 1500 --seed 0

A draw takes a call that works and puts junk in the place of one argument, or of one value, key or byte of a
file.  It passes where the call returns, or raises PhizError or DefinitionError with one line; the command,
where it exits with 0, 1 or 2 and no traceback.  Draw n of a seed is the same whatever the count.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from phiz.cli.main import main as phiz
from phiz.derive.symbols.errors import DefinitionError
from phiz.runtime import EvaluationSet, Network, NetworkObjective, Settings, layer, load_manifest, minimize
from phiz.runtime.data.datasets import from_arrays
from phiz.runtime.data.split import load_split
from phiz.runtime.errors import PhizError
from phiz.runtime.manifest.loading import load_folder
from phiz.runtime.network.architectures import architecture
from phiz.runtime.training import checkpoint, history
from phiz.runtime.training.evaluate import evaluate
from phiz.runtime.training.job import TrainingJob, run

#: A draw that takes longer has begun work that should have been refused.
SECONDS = 20
LAYERS: list[dict[str, Any]] = [
    {"layer": "convolution", "maps": 2, "kernel": 3, "stride": 1, "padding": 1, "activation": "tanh"},
    {"layer": "convolution", "maps": 2, "kernel": [2, 3], "connections": [[0, 1], [1]], "sharing": "pair"},
    {"layer": "max_pooling", "window": 2, "name": "pool"},
    {"layer": "dense", "maps": 3, "bias": False, "initial": {"w": {"rule": "normal", "scale": 0.1}}},
    {"layer": "softmax", "maps": 10},
]


def deep(count: int, kind: str = "list") -> Any:
    """A value nested ``count`` times."""
    value: Any = 1
    for _ in range(count):
        value = [value] if kind == "list" else {"a": value}
    return value


class Awkward:
    """An object whose every use raises."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def __repr__(self) -> str:
        return "<awkward>"


PLAIN: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    2**31,
    2**40,
    2**63,
    10**30,
    -(10**30),
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "5",
    "full",
    "auto",
    "ünï\n$x$",
    "\0",
    "a" * 5000,
    [],
    {},
    [1],
    [[1]],
    [None],
    ["a"],
    [1, -2],
    [0.5],
    [[1, 2], [3]],
    {"a": 1},
    {"rule": "uniform"},
    {"rule": []},
    [[[1]]],
    [{}],
    {"i": [0], "j": [99]},
]
"""Junk that JSON can hold."""
OBJECTS: list[Any] = [
    b"x",
    (),
    (1, 2),
    (3, 0),
    {1, 2},
    1j,
    object(),
    Awkward(),
    len,
    int,
    np.float32,
    np.dtype("f4"),
    np.int64(3),
    np.float64(2.5),
    np.array([]),
    np.array(3),
    np.array([1, 2]),
    np.array(["a"]),
    np.array([None]),
    np.zeros((2, 2, 2)),
    np.array([1j]),
    np.ma.masked_array([1.0], [True]),
    np.array([np.nan]),
    np.datetime64("2020-01-01"),
    Path("none"),
    range(3),
    iter([1]),
    {1: 2},
    Random,
    "no such",
    deep(3),
    deep(900),
]
"""Junk that only Python can hold."""


@dataclass
class Bench:
    """What draws work on: a folder, a trained run, generated kernels, all made once."""

    folder: Path
    weights: bytes = b""
    manifest: dict[str, Any] = field(default_factory=dict)
    kernels: Path = Path()
    tables: dict[str, bytes] = field(default_factory=dict)


def bench(folder: Path) -> Bench:
    """Trains a little network, and writes small data; what is cached lies in ``folder`` too."""
    os.environ["PHIZ_CACHE"] = str(folder / "cache")
    out = folder / "run"
    status = phiz(
        [
            "train",
            "--backend",
            "numpy",
            "--network",
            "linear",
            "--epochs",
            "2",
            "--quiet",
            "--json",
            "--out",
            str(out),
        ]
    )
    assert status == 0
    (folder / "own.py").write_text(
        "from phiz.derive import Sum, layer\n\n@layer()\ndef own(L):\n    Y = L.input()\n"
        "    i, j = L.maps('i'), Y.j\n    w = L.parameter('w', i, j)\n"
        "    return L.output(i)(Sum(w[i, j] * Y[j], j))\n"
    )
    assert phiz(["generate", str(folder / "own.py"), "--out", str(folder / "own")]) == 0
    x, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    np.savez(folder / "d.npz", x=x, y=y)
    rows = "\n".join(",".join(f"{v:.3f}" for v in row) + f",{label}" for row, label in zip(x, y, strict=True))
    tables = {"d.npz": (folder / "d.npz").read_bytes(), "d.csv": f"a,b,c,d,y\n{rows}\n".encode()}
    manifest = json.loads((folder / "own" / "manifest.json").read_text())
    return Bench(folder, (out / "weights.safetensors").read_bytes(), manifest, folder / "own", tables)


Call = Callable[[], Any]


@dataclass(frozen=True)
class Draw:
    """One bad call, and what was made bad in words."""

    kind: str
    what: str
    call: Call


# ------------------------------------------------------------------------------------------------------ junk
def junk(random: Random) -> Any:
    """Anything but what is wanted."""
    return copy.copy(random.choice(PLAIN)) if random.random() < 0.6 else random.choice(OBJECTS)


def spoiled(random: Random, record: Any, pool: Callable[[Random], Any]) -> tuple[Any, str]:
    """A copy of a nested record with one value replaced, one key dropped, renamed or added."""
    changed = copy.deepcopy(record)
    places = list(_places(changed, ""))
    holder, key, where = random.choice(places)
    how = random.random()
    if isinstance(holder, dict) and how < 0.15:
        del holder[key]
        return changed, f"{where} dropped"
    if isinstance(holder, dict) and how < 0.3:
        holder[f"{key}x"] = holder.pop(key)
        return changed, f"{where} renamed"
    value = pool(random)
    holder[key] = value
    return changed, f"{where} = {_short(value)}"


def _places(value: Any, where: str) -> Iterator[tuple[Any, Any, str]]:
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in list(entries):
        yield value, key, f"{where}.{key}"
        yield from _places(entry, f"{where}.{key}")


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = "nested"
    return text if len(text) < 60 else text[:57] + "..."


def plain(random: Random) -> Any:
    """Junk that JSON can hold, deeply nested now and then."""
    return deep(random.choice((50, 5000))) if random.random() < 0.03 else copy.copy(random.choice(PLAIN))


def spoiled_bytes(random: Random, data: bytes) -> tuple[bytes, str]:
    """Cut, flipped, doubled, or with something put in."""
    how, at = random.randrange(5), random.randrange(max(1, len(data)))
    if how == 0:
        return data[:at], f"cut at {at}"
    if how == 1:
        return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :], f"bit at {at}"
    if how == 2:
        return data[:at] + data[at:] * 2, f"doubled from {at}"
    piece = random.choice(
        (b"\0", b"\xff\xfe", b"nan", b"," * 50, b"[" * 200_000, b'"', b"1e999", b"-", b"{" * 9)
    )
    return data[:at] + piece + data[at:], f"{_short(piece)} at {at}"


# ------------------------------------------------------------------------------------------------------ calls
def network_arguments(random: Random, bench: Bench) -> Draw:
    """``Network(...)``."""
    given: dict[str, Any] = {
        "layers": [layer("dense", maps=3, activation="tanh"), layer("softmax", maps=2)],
        "input_shape": (4,),
        "loss": "ce",
        "backend": "numpy",
        "dtype": "float32",
        "seed": 0,
        "manifests": (),
        "micro_batch": 8,
        "device": None,
    }
    name, value = random.choice(list(given)), junk(random)

    def call() -> None:
        network = Network(**{**given, name: value})
        network.value_and_gradient(
            network.parameters, np.ones((2, *network.input_shape.axes)), np.full((2, 2), 0.5)
        )

    return Draw("network", f"{name} = {_short(value)}", call)


def layer_arguments(random: Random, bench: Bench) -> Draw:
    """``layer(...)``, put on an input."""
    which = random.choice(LAYERS)
    entry = {**which}
    key = random.choice([*entry, "connections", "sharing", "initial", "name", "activation", "nonsense"])
    value = junk(random)
    entry[key] = value

    def call() -> None:
        family = entry["layer"]
        spec = layer(family, **{k: v for k, v in entry.items() if k != "layer"})
        Network([spec], (2, 6, 6), loss="mse", backend="numpy")

    return Draw("layer", f"{which['layer']}: {key} = {_short(value)}", call)


def method_arguments(random: Random, bench: Bench) -> Draw:
    """The methods of a network."""
    network = Network([layer("dense", maps=2)], 3, loss="mse", backend="numpy")
    x, t = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)
    calls: dict[str, list[Any]] = {
        "forward": [network.parameters, x],
        "value": [network.parameters, x, t],
        "predict": [x],
        "value_and_gradient": [network.parameters, x, t, np.ones(4)],
        "losses": [network.parameters, x, t],
        "per_sample_gradients": [network.parameters, x, t],
        "input_gradient": [network.parameters, x, t],
        "jacobian_chunks": [network.parameters, x, t, 2],
        "first_nonfinite": [network.parameters, x, t],
        "place": [x, t, np.ones(4)],
    }
    name = random.choice(list(calls))
    arguments, at, value = list(calls[name]), random.randrange(len(calls[name])), junk(random)
    arguments[at] = value

    def call() -> None:
        found = getattr(network, name)(*arguments)
        if name == "jacobian_chunks":
            list(found)

    return Draw("method", f"{name}: argument {at} = {_short(value)}", call)


def minimize_arguments(random: Random, bench: Bench) -> Draw:
    """``minimize(...)`` of a parabola."""
    given: dict[str, Any] = {
        "x0": np.ones(3),
        "method": random.choice(("gd", "momentum", "cg", "bfgs", "lbfgs")),
        "jac": True,
        "args": (),
        "line_search": None,
        "callback": None,
        "state_file": None,
        "save_every": 0,
        "resume": False,
        "memory_limit": None,
        "keep_errors": False,
        "maxiter": 3,
        "gtol": 1e-8,
        "ftol": 0.0,
        "xtol": 0.0,
        "target": None,
        "maxfev": 20,
        "time_limit": 5.0,
        "memory": 5,
        "search_c2": 0.5,
        "step": 0.1,
    }
    known = [name for name in given if name not in ("memory", "search_c2", "step")]
    name = random.choice(list(given))
    value = junk(random)
    if name == "callback" and callable(value):  # what it raises is its user's
        value = 3
    arguments = {key: given[key] for key in known} | {name: value}

    def call() -> None:
        x0 = arguments.pop("x0")
        os.chdir(bench.folder)
        minimize(lambda x, *_: (float(x @ x), 2 * x), x0, **arguments)

    return Draw("minimize", f"{arguments['method']!r:.12}: {name} = {_short(value)}", call)


def job_arguments(random: Random, bench: Bench) -> Draw:
    """A training run from Python: its job and its settings."""
    settings: dict[str, Any] = {
        "optimizer": random.choice(("momentum", "gd", "lbfgs")),
        "epochs": 1,
        "batch": None,
        "rate": None,
        "schedule": None,
        "momentum": None,
        "alpha": 0.0,
        "patience": None,
        "until": None,
        "time_limit": None,
        "line_search": None,
        "options": {},
        "seed": 0,
    }
    job: dict[str, Any] = {
        "data": "digits",
        "network": "linear",
        "backend": "numpy",
        "dtype": "float32",
        "device": None,
        "seed": 0,
        "test": 0.25,
        "validation": 0.1,
        "target": None,
        "task": None,
        "classes": None,
        "manifests": (),
        "out": str(bench.folder / "job"),
    }
    which = random.choice((settings, job))
    name, value = random.choice(list(which)), junk(random)
    which[name] = value

    def call() -> None:
        os.chdir(bench.folder)
        run(TrainingJob(**job, settings=Settings(**settings)))

    return Draw("job", f"{name} = {_short(value)}", call)


def data_arguments(random: Random, bench: Bench) -> Draw:
    """Data from arrays, and from names."""
    calls: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
        ("from_arrays", from_arrays, {"inputs": np.ones((6, 2)), "targets": np.arange(6) % 2, "task": None}),
        (
            "load_split",
            load_split,
            {"source": "digits", "dtype": "float32", "seed": 0, "test": 0.25, "validation": 0.1},
        ),
        ("load_folder", load_folder, {"path": bench.kernels}),
        ("load_manifest", load_manifest, {"folders": [bench.kernels]}),
        (
            "evaluate",
            evaluate,
            {
                "file": bench.folder / "run" / "weights.safetensors",
                "data": "digits",
                "part": None,
                "target": None,
                "manifests": (),
                "backend": "numpy",
                "device": None,
            },
        ),
        ("objective", _objective, {"alpha": 0.0}),
        ("from_architecture", _architecture, {"record": {}}),
    ]
    which, function, arguments = random.choice(calls)
    name, value = random.choice(list(arguments)), junk(random)
    arguments = {**arguments, name: value}
    return Draw("data", f"{which}: {name} = {_short(value)}", partial(function, **arguments))


def _objective(alpha: Any) -> None:
    network = Network([layer("dense", maps=2)], 2, loss="mse", backend="numpy")
    data = from_arrays(np.ones((6, 2), np.float32), np.ones((6, 2), np.float32))
    NetworkObjective(EvaluationSet(network, data), alpha)


def _architecture(record: Any) -> None:
    Network.from_architecture(record, backend="numpy")


OPTIONS: dict[str, list[str]] = {
    "train": [
        "--data",
        "--network",
        "--target",
        "--task",
        "--classes",
        "--test",
        "--validation",
        "--optimizer",
        "--line-search",
        "--epochs",
        "--batch",
        "--rate",
        "--schedule",
        "--momentum",
        "--alpha",
        "--patience",
        "--until",
        "--time-limit",
        "--option",
        "--backend",
        "--device",
        "--dtype",
        "--seed",
        "--out",
        "--kernels",
    ],
    "evaluate": ["--data", "--part", "--target", "--backend", "--device", "--kernels"],
    "show": ["--kernel", "--definition"],
    "generate": ["--out"],
    "verify": ["--definition", "--kernels", "--backend", "--cases", "--seed", "--jobs", "--json"],
    "tune": [
        "--network",
        "--layer",
        "--data",
        "--input",
        "--outputs",
        "--batch",
        "--dtype",
        "--device",
        "--kernels",
        "--budget",
        "--json",
    ],
}
WRITING = ("--out", "--json", "--ship")
"""Options that name what is written: they get no place outside the folder of the draws, whoever runs them."""
PLACES = ["/dev/null", "/dev/zero", "/", "/proc/self/mem"]
"""What is only read."""
WORDS = [
    "",
    "-1",
    "0",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "x",
    "x=y",
    "=",
    "memory=",
    "gtol=nan",
    "$x",
    "a,b",
    "1,2,3",
    "0,0",
    "digits",
    "auto",
    ".",
    "ünï",
    "9" * 40,
    "0.5",
    "lbfgs",
    "99",
    "true",
    "adam",
    "trian",
    "{",
    "[",
    "dense maps=3",
    "dense maps=",
    "dense",
    "a" * 300,
    "run",
    "own",
    "own.py",
    "d.npz",
]


def command(random: Random, bench: Bench) -> Draw:
    """``phiz`` with one option that is wrong."""
    name = random.choice(list(OPTIONS))
    option = random.choice(OPTIONS[name])
    word = random.choice(WORDS if option in WRITING else WORDS + PLACES)
    usual = {
        "train": ["--backend", "numpy", "--network", "linear", "--epochs", "1", "--quiet", "--out", "out"],
        "evaluate": ["run/weights.safetensors", "--backend", "numpy"],
        "show": ["dense"],
        "generate": ["own.py", "--out", "own"],
        "verify": ["own", "--kernels", "own", "--cases", "1", "--backend", "numpy", "--jobs", "1"],
        "tune": ["--layer", "dense maps=2", "--input", "3", "--budget", "0.01", "--quiet"],
    }[name]
    given = [name, *usual, option, word] if random.random() < 0.85 else [name, *usual, f"{option}x", word]
    if random.random() < 0.05:
        given = [random.choice(WORDS), *given[1:]]

    def call() -> None:
        os.chdir(bench.folder)
        _command(given)

    return Draw("command", " ".join(given[:1] + given[-2:])[:100], call)


def _command(given: Sequence[str]) -> None:
    """Runs ``phiz``; AssertionError where it says other than one line of what is wrong."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = phiz(given)
        except SystemExit as caught:
            status = caught.code if isinstance(caught.code, int) else 1
    assert status in (0, 1, 2), status
    lines = [line for line in err.getvalue().splitlines() if line.strip()]
    if status == 2:
        assert len(lines) == 1 and lines[0].startswith("phiz"), err.getvalue()[-600:]


def network_file(random: Random, bench: Bench) -> Draw:
    """A network in JSON or TOML, with one value or byte that is wrong."""
    record = {"name": "n", "loss": "ce", "input_shape": [1, 8, 8], "layers": copy.deepcopy(LAYERS)}
    if random.random() < 0.7:
        changed, what = spoiled(random, record, plain)
        data = _json(changed)
    else:
        data, what = spoiled_bytes(random, _json(record))
    file = bench.folder / ("net.toml" if random.random() < 0.1 else "net.json")

    def call() -> None:
        file.write_bytes(data)
        samples = load_split("digits", "float32", 0).train
        chosen = architecture(file, samples)
        Network(chosen.layers, chosen.input_shape, chosen.loss, backend="numpy")

    return Draw("network file", what, call)


def _json(value: Any) -> bytes:
    """JSON of a value that may be nested deeper than the library goes."""
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 200_000


def manifest_file(random: Random, bench: Bench) -> Draw:
    """A manifest with one value or byte that is wrong, whose digests are those of its files."""
    if random.random() < 0.8:
        changed, what = spoiled(random, bench.manifest, plain)
        data = _json(changed)
    else:
        data, what = spoiled_bytes(random, _json(bench.manifest))

    def call() -> None:
        folder = bench.folder / "spoiled"
        folder.mkdir(exist_ok=True)
        for path in bench.kernels.rglob("*"):
            if path.is_file():
                target = folder / path.relative_to(bench.kernels)
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(path.read_bytes())
        (folder / "manifest.json").write_bytes(data)
        network = Network(
            [layer("own", maps=2, activation="tanh")], 3, loss="mse", backend="numpy", manifests=[folder]
        )
        network.value_and_gradient(network.parameters, np.ones((2, 3)), np.ones((2, 2)))

    return Draw("manifest", what, call)


def weights_file(random: Random, bench: Bench) -> Draw:
    """Weights with a wrong byte, or with a wrong record under a right checksum."""
    file = bench.folder / "weights.safetensors"
    if random.random() < 0.3:
        data, what = spoiled_bytes(random, bench.weights)
    else:
        data, what = _resealed(random, bench.weights)

    def call() -> None:
        file.write_bytes(data)
        evaluate(file, "digits", backend="numpy")

    def resume() -> None:
        folder = bench.folder / "resumed"
        folder.mkdir(exist_ok=True)
        (folder / "weights.safetensors").write_bytes(data)
        run(
            TrainingJob(
                network="linear", backend="numpy", settings=Settings(epochs=2, alpha=1e-3), out=str(folder)
            ),
            resume=True,
        )

    return Draw("weights", what, call if random.random() < 0.6 else resume)


def _resealed(random: Random, data: bytes) -> tuple[bytes, str]:
    """The file with one of its records changed, and the checksum that belongs to it."""
    tensors, metadata = checkpoint.parse_tensors(data), checkpoint._metadata(data)
    name = random.choice(["architecture", "digests", "training", "training", "training"])
    changed, what = spoiled(random, json.loads(metadata[name]), plain)
    metadata = {**metadata, name: _json(changed).decode()}
    metadata["sha256"] = checkpoint._checksum(metadata, tensors)
    return checkpoint._in_order(checkpoint.format_tensors(dict(tensors), metadata)), f"{name}{what}"


def data_file(random: Random, bench: Bench) -> Draw:
    """A table or an archive with something wrong in it."""
    name = random.choice(list(bench.tables))
    data, what = spoiled_bytes(random, bench.tables[name])

    def call() -> None:
        (bench.folder / f"s{name}").write_bytes(data)
        load_split(str(bench.folder / f"s{name}"), "float32", 0)

    return Draw("data file", f"{name}: {what}", call)


def history_file(random: Random, bench: Bench) -> Draw:
    """A history with a value or a byte that is wrong."""
    file = bench.folder / "run" / "history.json"
    record = json.loads(file.read_text())
    changed, what = spoiled(random, record, plain)
    data = _json(changed)
    if random.random() < 0.3:
        data, what = spoiled_bytes(random, file.read_bytes())

    def call() -> None:
        (bench.folder / "history.json").write_bytes(data)
        history.load(bench.folder / "history.json")

    return Draw("history", what, call)


KINDS: list[Callable[[Random, Bench], Draw]] = [
    network_arguments,
    layer_arguments,
    layer_arguments,
    method_arguments,
    minimize_arguments,
    job_arguments,
    data_arguments,
    command,
    command,
    network_file,
    network_file,
    manifest_file,
    weights_file,
    data_file,
    history_file,
]


# ---------------------------------------------------------------------------------------------------- verdict
@dataclass(frozen=True)
class Raw:
    """A draw that ended in something else than one line."""

    number: int
    kind: str
    what: str
    error: str


def draw(seed: int, number: int, made: Bench) -> Draw:
    """Draw ``number`` of ``seed``."""
    random = Random(f"{seed} {number}")
    return random.choice(KINDS)(random, made)


class _Slow(BaseException):
    pass


def verdict(drawn: Draw) -> str:
    """What is wrong with how the call ended; "" where it returned, or was refused in one line."""

    def late(*_: Any) -> None:
        raise _Slow

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with np.errstate(all="ignore"), contextlib.redirect_stderr(io.StringIO()):
            drawn.call()
    except (PhizError, DefinitionError) as error:
        return (
            ""
            if len(str(error).splitlines()) == 1
            else f"{len(str(error).splitlines())} lines: {error!r:.200}"
        )
    except _Slow:
        return f"not done after {SECONDS} s"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        own = [f for f in traceback.extract_tb(error.__traceback__) if "bad_input" not in f.filename]
        near = [f"{Path(f.filename).name}:{f.lineno}" for f in own[-3:]] or [str(place.lineno)]
        return f"{type(error).__name__}: {str(error)[:200]} at {' < '.join(reversed(near))}"
    finally:
        signal.alarm(0)
    return ""


def found(count: int, seed: int, first: int = 0) -> list[Raw]:
    """The draws from ``first`` on that end in anything but one line."""
    raw, here = [], Path.cwd()
    with tempfile.TemporaryDirectory(prefix="phiz_bad_input_") as folder:
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                made = bench(Path(folder))
            for number in range(first, first + count):
                drawn = draw(seed, number, made)
                if wrong := verdict(drawn):
                    raw.append(Raw(number, drawn.kind, drawn.what, wrong))
        finally:
            os.chdir(here)
    return raw


def main(given: Sequence[str] | None = None) -> int:
    """Exit status 1 where a draw ends in anything but one line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bad_input", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args(given)
    raw = found(options.count, options.seed, options.first)
    for one in raw:
        print(f"{one.number} {one.kind}: {one.what}\n    {one.error}")
    kinds: Mapping[str, int] = {
        kind: sum(one.kind == kind for one in raw) for kind in {one.kind for one in raw}
    }
    print(f"{options.count} draws, {len(raw)} not in one line {kinds or ''}")
    return 1 if raw else 0


if __name__ == "__main__":
    sys.exit(main())
