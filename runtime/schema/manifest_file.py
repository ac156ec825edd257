"""The types of ``manifest.json``, version 3: what ``codegen`` writes, and no entry more."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

Bounds = tuple[float | None, float | None]
Option = bool | int | str


class ManifestTable(Struct, forbid_unknown_fields=True):
    """A table of the manifest."""


class LeastRecord(ManifestTable):
    """The minimum over rows that a size is."""

    relation: str
    by: str
    row: str


class SizeRecord(ManifestTable):
    """A size and where it comes from."""

    name: str
    source: Literal["input", "keyword", "derived", "relation"]
    axis: int = 0
    keyword: str | None = None
    entry: int | None = None
    default: int | str | None = None
    minimum: int | None = None
    value: str = ""
    table: str | None = None
    index: str = ""
    smallest: LeastRecord | None = None
    relation: str = ""
    column: str = ""
    random: tuple[int, int] | None = None


class TensorRecord(ManifestTable):
    """A tensor."""

    kind: str
    shape: list[str]
    samples: bool
    ragged: bool = False
    layout: str = ""


class LanesRecord(ManifestTable):
    """What fills the lanes of a vector."""

    over: str
    extent: str
    strides: list[str]
    step: str = "1"


class PackedRecord(ManifestTable):
    """Parameters that a pass may pack along the lanes."""

    macro: str
    tensors: dict[str, tuple[str, str, str]]


class ConstantRecord(ManifestTable):
    """The parameters that may lie in constant memory."""

    macro: str
    whole: dict[str, str]
    sliced: dict[str, str] = {}
    maps: str = "1"
    tile: str = ""
    dimension: int = 1
    split: str = ""


class LocalRecord(ManifestTable):
    """What a work group may copy."""

    macro: str
    iterations: str
    each: str


class CacheTileRecord(ManifestTable):
    """A cache tile."""

    macro: str
    iterations: str


class LoopSplitRecord(ManifestTable):
    """Loops that a reduction group splits."""

    macro: str
    iterations: list[str]


class LaunchRecord(ManifestTable):
    """How OpenCL launches a kernel of one layout."""

    tiles: dict[str, str | None]
    operands: list[list[str]]
    global_size: list[str] = field(name="global")
    index: bool = False
    lanes: LanesRecord | None = None
    sliding: list[list[str]] = []
    partial_sums: str = ""
    reduction_group: str = ""
    loop_split: LoopSplitRecord | None = None
    bounds: dict[str, list[tuple[str, str, str]]] = {}
    unroll: str = ""
    constant: ConstantRecord | None = None
    local: LocalRecord | None = None
    cache_tile: CacheTileRecord | None = None
    invariant: list[bool] = []
    sums: list[list[str]] = []
    packed: PackedRecord | None = None
    alone: dict[str, list[str]] = {}


class KernelRecord(ManifestTable):
    """One kernel."""

    name: str
    role: str
    target: str
    arguments: list[str]
    output: str
    sizes: list[str]
    relations: list[str]
    launches: dict[str, LaunchRecord]
    position: str | None = None
    finish: str = ""
    work: str = "1"
    cut: bool = False


class HeadRecord(ManifestTable):
    """A loss fused with a layer."""

    tensor: str
    value: str
    delta: str


class ConditionRecord(ManifestTable):
    """A condition on sizes, and what is said where it does not hold."""

    condition: str
    message: str


class RelationRecord(ManifestTable):
    """A table of connections."""

    columns: dict[str, str]


class MacrosRecord(ManifestTable):
    """The macros of a file, by layout."""

    sample_inner: list[str]
    sample_outer: list[str] = []


class LayerRecord(ManifestTable):
    """A variant of a layer."""

    family: str
    options: dict[str, Option]
    doc: str
    digest: str
    sizes: list[SizeRecord]
    relations: dict[str, RelationRecord]
    input: str
    output: str
    parameters: list[str]
    tensors: dict[str, TensorRecord]
    initial: dict[str, dict[str, str | float]]
    checks: list[ConditionRecord]
    kernels: list[KernelRecord]
    heads: dict[str, HeadRecord]
    macros: MacrosRecord
    choices: dict[str, list[Option]] = {}
    range: Bounds = (None, None)
    selects: str = ""
    names: dict[str, str] = {}
    file: str | None = None
    requirements: list[ConditionRecord] = []


class ActivationRecord(ManifestTable):
    """phi."""

    derivative_in: Literal["y", "z"]
    range: Bounds
    digest: str
    increasing: bool = False
    function: str | None = None
    builtin: bool = False


class LossRecord(ManifestTable):
    """An error function."""

    file: str
    targets: Bounds
    outputs: Bounds
    open: tuple[bool, bool]
    digest: str
    tensors: dict[str, TensorRecord]
    kernels: list[KernelRecord]
    pairs: dict[str, PairRecord]
    macros: MacrosRecord
    equation: str = ""
    builtin: bool = False


class PairRecord(ManifestTable):
    """The kernels of a loss for one activation."""

    value: str
    delta: str


class ManifestFile(ManifestTable):
    """All of it; ``version`` is compared before."""

    layers: dict[str, LayerRecord]
    version: int = 0
    files: dict[str, str] = {}
    sources: dict[str, str] = {}
    definitions: dict[str, str] = {}
    activations: dict[str, ActivationRecord] = {}
    losses: dict[str, LossRecord] = {}
