"""One small definition whose every name can be chosen, its value and gradients by brute force, and names that
collide.

``python -m tests.codegen.identifiers 10000`` tries so many definitions with NumPy, every n-th of them with
OpenCL (``--opencl n``).
"""

from __future__ import annotations

import argparse
import builtins
import keyword
import random
import re
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import phiz.generated
from phiz.codegen.folder import write
from phiz.codegen.generate import generate
from phiz.derive.language.activations import Activation, z
from phiz.derive.language.layer import Family, Layer
from phiz.derive.language.losses import Loss, t, y
from phiz.derive.language.tensors import Sum
from phiz.derive.symbols.functions import sigmoid, tanh
from phiz.runtime.manifest.loading import load_folder
from phiz.runtime.program.layer import instantiate, layer
from phiz.runtime.program.shape import Shape
from phiz.runtime.verify.kernel_run import NumpyRun, OpenCLRun, layer_fixture
from phiz.runtime.verify.layer_run import LayerPoint, LayerRun

Array = np.ndarray
SAMPLES = 3
#: Keywords of layers in a network.
KEYWORDS = frozenset(("family", "activation", "name", "connections", "sharing", "initial", "maps", "window"))
#: What the language itself declares for the definition below.
LANGUAGE = frozenset(("j", "J", "y0", "H0", "Y", "Z"))


@dataclass(frozen=True)
class Chosen:
    """A name for every role; sizes, window and coordinates get a 0 behind it."""

    family: str = "small"
    option: str = "bias"
    activation: str = "swish"
    loss: str = "half"
    maps: str = "i"
    size: str = "I"
    axis: str = "p"
    sizes: str = "K"
    window: str = "u"
    coordinates: str = "x"
    parameter: str = "w"
    other: str = "b"
    stage: str = "S"

    @property
    def declared(self) -> list[str]:
        """What is declared in the layer."""
        plain = [self.maps, self.size, self.axis, self.parameter, self.other, self.stage]
        return plain + [f"{name}0" for name in (self.sizes, self.window, self.coordinates)]

    @property
    def distinct(self) -> bool:
        """Whether no name has two meanings for the user himself; the extent of coordinates is called by
        them in capitals.
        """
        capitals = f"{self.coordinates.upper()}0"
        found = [*self.declared, *([] if capitals == f"{self.coordinates}0" else [capitals]), *LANGUAGE]
        return len(set(found)) == len(found) and self.activation != "linear" and self.option not in KEYWORDS


def family(names: Chosen) -> Family:
    """``Z[i, x] = tanh(sum over p, j, u of w[i, p, j, u] * Y[j, x + u]**(1 + p)) + b[i]``, the last one
    as an option.
    """

    def define(L: Layer, /, **options: bool) -> Any:
        Y = L.input(1)
        K = L.sizes(names.sizes, "window", 1)
        i, p, j = L.maps(names.maps, names.size), L.axis(names.axis, 2), Y.j
        (x,), (u,) = L.coordinates(names.coordinates, Y.H - K + 1), L.window(names.window, K)
        w = L.parameter(names.parameter, i, p, j, u)
        S = L.stage(names.stage, i, x)(Sum(w[i, p, j, u] * Y[j, x + u] ** (1 + p), p, j, u))
        last = L.parameter(names.other, i)[i] if options[names.option] else 0
        return L.output(i, x)(tanh(S[i, x]) + last)

    return Family(names.family, define, {names.option: (True, False)}, "A small layer.")


def brute_force(w: Array, b: Array, Y: Array, delta: Array) -> dict[str, Array]:
    """Z and what ``delta`` = dr/dZ gives, by plain loops; the input's delta without phi'."""
    I, P, J, K = w.shape
    X, T = Y.shape[1] - K + 1, Y.shape[2]
    S = np.zeros((I, X, T))
    for i, p, j, u, x in product(range(I), range(P), range(J), range(K), range(X)):
        S[i, x] += w[i, p, j, u] * Y[j, x + u] ** (1 + p)
    found = {
        "Z": np.tanh(S) + b[:, None, None],
        "b": delta.sum(axis=(1, 2)),
        "w": np.zeros(w.shape),
        "Y": np.zeros(Y.shape),
    }
    back = delta * (1 - np.tanh(S) ** 2)
    for i, p, j, u, x in product(range(I), range(P), range(J), range(K), range(X)):
        found["w"][i, p, j, u] += float((back[i, x] * Y[j, x + u] ** (1 + p)).sum())
        found["Y"][j, x + u] += back[i, x] * w[i, p, j, u] * (1 + p) * Y[j, x + u] ** p
    return found


def check(names: Chosen, backends: Sequence[str] = ("numpy",)) -> None:
    """Generate the definition, run all its kernels, and hold them against ``brute_force``;
    AssertionError where they differ.
    """
    activation = Activation(names.activation, z * sigmoid(z))
    loss = Loss(names.loss, (t - y) ** 2 / 2)
    with tempfile.TemporaryDirectory(prefix="phiz_names_") as folder:
        files = generate(
            [family(names)], [Activation("linear", z), activation], [loss] if "loss" in backends else []
        ).files
        write(Path(folder), files)
        manifest = load_folder(Path(folder))
        spec = layer(
            names.family, activation=names.activation, **{names.option: True, "maps": 3, "window": 2}
        )
        found = instantiate(manifest, spec, 0, Shape(((5,),) * 2))
        assert {found.info.shown(name) for name in found.info.parameters} == {names.parameter, names.other}
        random_ = np.random.default_rng(5)
        w, b = random_.normal(size=(3, 2, 2, 2)), random_.normal(size=3)
        below, delta = random_.uniform(0.2, 1.5, (2, 5, SAMPLES)), random_.normal(size=(3, 4, SAMPLES))
        lower = manifest.activation(names.activation)
        Y = below / (1 + np.exp(-below))
        expected = brute_force(w, b, Y, delta)
        slope = (1 + np.exp(-below) * (1 + below)) / (1 + np.exp(-below)) ** 2
        own = dict(zip((names.parameter, names.other), (w, b), strict=True))
        tensors = {found.info.shown(name): name for name in found.info.parameters}
        parameters = {tensors[n]: a.reshape(-1) for n, a in own.items()}
        point = LayerPoint(below.reshape(10, SAMPLES), parameters, np.zeros((12, SAMPLES)))
        expected |= {"Y": expected["Y"] * slope, "samples": expected["w"]}
        for backend in (b for b in backends if b != "loss"):
            got = computed(layer_fixture(found, lower, True), found.info, backend, point, delta)
            w_, b_ = (tensors[name] for name in (names.parameter, names.other))
            pairs = {"Z": "Z", "w": f"gradient_{w_}", "b": f"gradient_{b_}", "Y": "delta_Y"}
            arrays = {key: got(tensor) for key, tensor in pairs.items()}
            arrays["samples"] = got(f"samplegradient_{w_}").sum(axis=-1)
            for key, array in arrays.items():
                right = expected[key].reshape(array.shape)
                assert np.allclose(array, right, rtol=1e-10, atol=1e-12), (
                    f"{backend}: {key} is {array}, not {right}: {names}"
                )


def computed(
    fixture: Any, info: Any, backend: str, point: LayerPoint, delta: np.ndarray
) -> Callable[[str], np.ndarray]:
    """What the kernels of one layer give at ``point``, tensor by tensor."""
    run: Any = NumpyRun(fixture, "float64", SAMPLES)
    if backend != "numpy":
        run = OpenCLRun(fixture, "float64", SAMPLES, _opencl(), backend == "opencl_rows")
    steps = LayerRun(run, info)
    steps.place(point)
    steps.outputs()
    run.put("delta_Z", delta.reshape(12, SAMPLES))
    for kernel in steps.kernels("delta", "gradient", "sample_gradient"):
        run.run(kernel)
    return steps.got


@cache
def _opencl() -> Any:
    from phiz.runtime.opencl.backend import OpenCLBackend

    return OpenCLBackend()


# -------------------------------------------------------------------------------------------------- the names
@cache
def words() -> tuple[str, ...]:
    """Words with a meaning somewhere: C, OpenCL C, Python, NumPy, every name in the committed kernels."""
    found = set(dir(builtins)) | set(keyword.softkwlist) | set(dir(np)) | set(C.split()) | opencl_words()
    for path in Path(phiz.generated.__file__).parent.glob("*/*"):
        if path.suffix in (".cl", ".py"):
            found |= set(re.findall(r"[A-Za-z_]\w*", path.read_text(encoding="utf-8")))
    return tuple(sorted(name for name in found if possible(name)))


C = """
    auto break case char const continue default do double else enum extern float for goto if inline int long
    register restrict return short signed sizeof static struct switch typedef union unsigned void volatile
    while _Bool _Complex _Imaginary _Alignas _Atomic _Generic _Noreturn _Static_assert _Thread_local typeof
    asm bool true false NULL NAN INFINITY M_PI M_E FLT_MAX DBL_EPSILON CHAR_BIT HUGE_VAL MAXFLOAT EOF
    __FILE__ __LINE__ __func__ __OPENCL_VERSION__ __kernel __global __local __constant __private kernel
    global local constant private generic pipe read_only write_only read_write uniform vec_step as_float
    convert_int image2d_t sampler_t event_t size_t ptrdiff_t intptr_t uchar ushort uint ulong half half4
    float2 float16 double3 uchar8 quad complex imaginary unix linux i386 main errno __debug__ __name__
    __class__ __builtins__ cl_khr_fp64 CLK_LOCAL_MEM_FENCE
"""


@cache
def opencl_words() -> frozenset[str]:
    """What the OpenCL headers that come with PoCL declare; none where they are not found."""
    found: set[str] = set()
    for root in map(Path, sys.path):
        for path in root.glob("pocl_binary_distribution/.libs/share/pocl/include/opencl-c*.h"):
            text = re.sub(r"//.*|/\*.*?\*/", "", path.read_text(encoding="utf-8"))
            found |= set(re.findall(r"__(?:ovld|cnfn|purefn|conv)\b[^;(]*?\b(\w+)\s*\(", text))
            found |= set(re.findall(r"#define\s+(\w+)", text)) | set(
                re.findall(r"^\s+(\w+)\s*=", text, re.MULTILINE)
            )
            found |= set(re.findall(r"typedef\s[^;]*?\b(\w+)\s*(?:__attribute__\s*\(\(.*?\)\))?\s*;", text))
    return frozenset(found)


PREFIXES = (
    "n_",
    "SIZE_",
    "TILE_forward_Z_",
    "delta_",
    "gradient_",
    "samplegradient_",
    "position_",
    "acc",
    "value",
    "u0_",
    "name1_",
    "name2_",
    "_",
    "__",
    "forward_",
    "phi_",
    "dphi_",
    "sum",
    "extent_",
    "loss_",
    "PARTS_gradient_",
    "head_",
    "t",
    "s",
    "g",
)
SUFFIXES = (
    "0",
    "1",
    "00",
    "_0",
    "_1",
    "_first",
    "_n",
    "_begin",
    "_end",
    "_all",
    "_all_end",
    "_stop",
    "_block",
    "_from",
    "_local",
    "_local1",
    "_r0",
    "_max",
    "_rows",
    "_at",
    "_AT",
    "_",
    "__",
    "_item",
    "_place",
    "_store",
    "_row",
    "_by_i",
    "_sum1",
    "_max1",
    "_entry",
    "_offset",
    "_x303_",
)
STRANGE = (
    "w̃",
    "é",
    "α",
    "β0",
    "名",
    "ñ_",
    "_é",
    "Ж",
    "ß",
    "ı",
    "ŉ",
    "xͣ",
    "क्ष",
    "ابجد",
    "変数",
    "𐐀",
    "ΐ",
    "ǰ",
)


def possible(name: str) -> bool:
    """Whether a user can have the name."""
    return name.isidentifier() and not keyword.iskeyword(name) and unicodedata.normalize("NFKC", name) == name


def drawn(generator: random.Random, before: Sequence[str]) -> str:
    """A name: a word, one made of another name of the definition or of a word, or one in another script."""
    kind = generator.random()
    if kind < 0.35:
        return generator.choice(words())
    if kind < 0.8:
        base = (
            generator.choice(before)
            if before and generator.random() < 0.7
            else generator.choice((*words(), *"ijxuwKS"))
        )
        for _ in range(generator.choice((1, 1, 2))):
            base = (
                f"{generator.choice(PREFIXES)}{base}"
                if generator.random() < 0.35
                else f"{base}{generator.choice(SUFFIXES)}"
            )
        return base
    if kind < 0.9:
        return generator.choice(tuple(filter(possible, STRANGE))) + generator.choice(
            ("", "", "0", "_", "_first")
        )
    return "".join(generator.choice("ijxuwtsgnaYZ_01éλ") for _ in range(generator.randint(1, 4)))


def definition(generator: random.Random) -> Chosen:
    """Names for every role, each possible, none of two meanings."""
    roles = [field.name for field in fields(Chosen)]
    while True:
        given: dict[str, str] = asdict(Chosen())
        for role in generator.sample(roles, len(roles)):
            if generator.random() < 0.85:
                given[role] = drawn(generator, list(given.values()))
        names = Chosen(**given)
        if all(map(possible, given.values())) and names.distinct:
            return names


def main() -> int:
    """Tries many; prints those that fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--opencl", type=int, default=0, help="every so many also with both forms of OpenCL")
    options = parser.parse_args()
    failed = 0
    for number in range(options.count):
        names = definition(random.Random(f"{options.seed} {number}"))
        backends = ["numpy"]
        if options.opencl and number % options.opencl == 0:
            backends += ["opencl", "opencl_rows"]
        try:
            check(names, backends)
        except Exception as error:
            failed += 1
            print(f"{number}: {type(error).__name__}: {str(error)[:300]}\n    {names}", flush=True)
        if number % 500 == 499:
            print(f"{number + 1} tried, {failed} failed", flush=True)
    print(f"{options.count} tried, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
