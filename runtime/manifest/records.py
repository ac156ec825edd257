"""What a generated folder holds: the records of ``manifest.json``, typed and frozen.

Reading and verifying a folder is the subject of ``loading.py`` and ``folder.py``.
The meaning of each field is the manifest contract, version 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import ManifestError, PhizError, ShapeError
from ..nearest import did_you_mean

if TYPE_CHECKING:
    from .folder import Folder

VERSION = 3
#: How tensors with samples may lie in memory: the sample is the last axis, in vectors, or the first.
SAMPLE_INNER, SAMPLE_OUTER = "sample_inner", "sample_outer"


@dataclass(frozen=True)
class SmallestOfRows:
    """The value is the minimum over the rows of ``relation`` whose column ``by`` is the entry; ``row``
    names the row.
    """

    relation: str
    by: str
    row: str


@dataclass(frozen=True)
class SizeInfo:
    """A size of a layer and where it comes from.

    ``axis``, ``entry``: the axis of the input, or the entry of the keyword, that it is.
    ``table``: the size whose every element has an entry; None for a single number.
    """

    name: str
    source: str  # input | keyword | derived | relation
    axis: int = 0
    keyword: str = ""
    entry: int | None = None
    default: int | str | None = None
    minimum: int | None = None
    value: str = ""
    table: str | None = None
    index: str = ""
    smallest: SmallestOfRows | None = None
    relation: str = ""
    column: str = ""
    random: Sequence[int] | None = None  # least and largest value that verification draws


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a layer; ``shape`` are expressions without the sample axis, ``_`` the entry of a
    ragged first axis.
    """

    name: str
    kind: str
    shape: tuple[str, ...]
    samples: bool
    ragged: bool = False
    layout: str = ""


@dataclass(frozen=True)
class TileInfo:
    """A register tile over an axis of ``extent``, an expression in the sizes; None for the samples."""

    extent: str | None


@dataclass(frozen=True)
class LaneInfo:
    """What fills the lanes of a vector: "samples", an "output" or "reduction" axis of ``extent``; "":
    nothing, place by place.

    ``strides``: of the vectors that are loaded, where they need not be one.
    ``step``: numbers between the results of neighbouring lanes.  Expressions in the sizes.
    """

    over: str = "samples"
    extent: str = "1"
    strides: tuple[str, ...] = ()
    step: str = "1"


SAMPLES = LaneInfo()
#: What stands before a tensor's name in those of its derivatives.
DERIVATIVES = ("delta_", "gradient_", "samplegradient_")


@dataclass(frozen=True)
class ConstantInfo:
    """The parameters that a kernel reads, by tensor: ``macro`` is their address space.

    Of those in ``sliced`` output map m reads entry m alone, of so many units; ``whole``: the others, with all
    of their units.
    ``maps``: how many output maps there are; they go along the global ``dimension``, outermost, in tiles of
    the macro ``tile``.
    ``slicing``: the macro that says whether launches are given slices.
    """

    macro: str
    whole: Mapping[str, str]
    sliced: Mapping[str, str]
    maps: str
    tile: str
    dimension: int
    slicing: str = ""


@dataclass(frozen=True)
class LocalInfo:
    """What a work group may copy to local memory, some iterations of a loop at a time.

    ``macro``: how many iterations at a time.
    ``iterations``: how many the loop has.
    ``each``: the numbers that one iteration takes.
    """

    macro: str
    iterations: str
    each: str


@dataclass(frozen=True)
class PackedInfo:
    """Parameters that a pass may copy into the order of the lanes.

    ``macro``: whether they are.
    ``tensors``: for each, the extents outside of the packed index, its own, and those inside of it.
    """

    macro: str
    tensors: Mapping[str, tuple[str, str, str]]


@dataclass(frozen=True)
class CacheTileInfo:
    """A cache tile, whose points follow one another in each iteration of the outermost loop.

    ``macro``: that of the tile.
    ``iterations``: how many iterations there are.
    """

    macro: str
    iterations: str


@dataclass(frozen=True)
class LoopSplitInfo:
    """How the work items of a reduction group split the outermost loops of a sum.

    ``macro``: the number of runs.
    ``iterations``: the extents of the loops, as expressions in sizes.
    """

    macro: str
    iterations: tuple[str, ...]


@dataclass(frozen=True)
class BoundsInfo:
    """A loop whose iterations depend on a tiled axis.

    ``first``, ``end``: the first iteration and the one after the last, in sizes and the axis.
    ``extent``: how many there are over the whole axis, in sizes.
    """

    first: str
    end: str
    extent: str


@dataclass(frozen=True)
class LaunchInfo:
    """How OpenCL launches a kernel of one layout.

    ``tiles``: the macro of each tile, outermost first.
    ``operands``: for each value that the innermost body loads, the tiles that it depends on.
    ``sliding``: for each operand, the tiles along which it moves as it does from one iteration to the next.
    ``invariant``: for each operand, whether it is the same in every iteration.
    ``partial_sums``: the macro with the number of partial sums, which ``add_partial_sums`` adds up; "" where
    there are none.
    ``reduction_group``: the macro with the size of a reduction group; "" where work items cannot share a sum.
    ``loop_split``: how the items of a group may share iterations of its loops.
    ``bounds``: for each tile, the loops whose bounds depend on its axis.
    ``unroll``: the macro that says how often the innermost loops are unrolled; "" where there are none.
    ``constant``: the parameters, which may lie in constant memory.
    ``local``: what of the parameters a work group may copy.
    ``cache_tile``: which of the tiles is a cache tile.
    ``sums``: for each further sum in the same loops, the tiles that it has accumulators along.
    ``packed``: what of the parameters may be packed along the axis of the lanes.
    ``alone``: for some tiles, what must be 1 where they have several points.
    """

    tiles: Mapping[str, TileInfo]
    operands: tuple[tuple[str, ...], ...]
    global_size: tuple[str, ...]
    index: bool
    lanes: LaneInfo = SAMPLES
    sliding: tuple[tuple[str, ...], ...] = ()
    partial_sums: str = ""
    reduction_group: str = ""
    loop_split: LoopSplitInfo | None = None
    bounds: Mapping[str, tuple[BoundsInfo, ...]] = field(default_factory=dict)
    unroll: str = ""
    constant: ConstantInfo | None = None
    local: LocalInfo | None = None
    cache_tile: CacheTileInfo | None = None
    invariant: tuple[bool, ...] = ()
    sums: tuple[tuple[str, ...], ...] = ()
    packed: PackedInfo | None = None
    alone: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class KernelInfo:
    """One kernel: the tensors that it reads and writes, in calling order, and how OpenCL launches it.

    ``launches``: by layout; folders that were not generated may lack ``SAMPLE_OUTER``.
    ``work``: steps of the reductions of one point, samples aside, as an expression in the sizes.
    ``cut``: whether conditions leave points out of its reductions, so that one may be over nothing.
    ``layout``: which of the launches is meant.
    """

    name: str
    role: str  # forward | delta | gradient | sample_gradient | loss
    target: str
    arguments: tuple[str, ...]
    output: str
    position: str | None
    finish: str  # "" | phi | dphi
    sizes: tuple[str, ...]
    relations: tuple[str, ...]
    launches: Mapping[str, LaunchInfo]
    work: str = "1"
    cut: bool = False
    layout: str = SAMPLE_INNER

    @property
    def launch(self) -> LaunchInfo:
        """How it is launched in its layout."""
        return self.launches[self.layout]

    @property
    def rows(self) -> LaunchInfo | None:
        """How it is launched where samples lie one after the other."""
        return self.launches.get(SAMPLE_OUTER)

    def in_rows(self) -> KernelInfo:
        """The kernel for samples that lie one after the other."""
        return replace(self, layout=SAMPLE_OUTER)

    @property
    def tiles(self) -> Mapping[str, TileInfo]:
        """``LaunchInfo.tiles`` of its layout."""
        return self.launch.tiles

    @property
    def operands(self) -> tuple[tuple[str, ...], ...]:
        """``LaunchInfo.operands`` of its layout."""
        return self.launch.operands

    @property
    def global_size(self) -> tuple[str, ...]:
        """``LaunchInfo.global_size`` of its layout."""
        return self.launch.global_size

    @property
    def index(self) -> bool:
        """``LaunchInfo.index`` of its layout."""
        return self.launch.index

    @property
    def lanes(self) -> LaneInfo:
        """``LaunchInfo.lanes`` of its layout."""
        return self.launch.lanes

    @property
    def sliding(self) -> tuple[tuple[str, ...], ...]:
        """``LaunchInfo.sliding`` of its layout."""
        return self.launch.sliding

    @property
    def partial_sums(self) -> str:
        """``LaunchInfo.partial_sums`` of its layout."""
        return self.launch.partial_sums

    @property
    def reduction_group(self) -> str:
        """``LaunchInfo.reduction_group`` of its layout."""
        return self.launch.reduction_group

    @property
    def loop_split(self) -> LoopSplitInfo | None:
        """``LaunchInfo.loop_split`` of its layout."""
        return self.launch.loop_split

    @property
    def bounds(self) -> Mapping[str, tuple[BoundsInfo, ...]]:
        """``LaunchInfo.bounds`` of its layout."""
        return self.launch.bounds

    @property
    def unroll(self) -> str:
        """``LaunchInfo.unroll`` of its layout."""
        return self.launch.unroll

    @property
    def constant(self) -> ConstantInfo | None:
        """``LaunchInfo.constant`` of its layout."""
        return self.launch.constant

    @property
    def local(self) -> LocalInfo | None:
        """``LaunchInfo.local`` of its layout."""
        return self.launch.local

    @property
    def cache_tile(self) -> CacheTileInfo | None:
        """``LaunchInfo.cache_tile`` of its layout."""
        return self.launch.cache_tile

    @property
    def invariant(self) -> tuple[bool, ...]:
        """``LaunchInfo.invariant`` of its layout."""
        return self.launch.invariant

    @property
    def sums(self) -> tuple[tuple[str, ...], ...]:
        """``LaunchInfo.sums`` of its layout."""
        return self.launch.sums

    @property
    def packed(self) -> PackedInfo | None:
        """``LaunchInfo.packed`` of its layout."""
        return self.launch.packed


@dataclass(frozen=True)
class HeadInfo:
    """A loss fused with a layer: ``delta`` gives the delta of stage ``tensor`` directly."""

    tensor: str
    value: str
    delta: str


@dataclass(frozen=True)
class LayerInfo:
    """A variant of a layer family.

    ``selects``: whether each output before phi is an input, "one" at a fixed place or the "largest" of some;
    "" where it is not.
    ``names``: what the user calls sizes, tensors, relations and columns that have another name in kernels.
    ``file``: the name of its files.
    ``checks``: conditions that keep accesses inside tensors, and messages.
    ``requirements``: conditions that the definition makes of sizes, and its reasons.
    """

    name: str
    family: str
    options: Mapping[str, Any]
    choices: Mapping[str, tuple[Any, ...]]  # the values of each option in this family, the default first
    doc: str
    digest: str
    sizes: tuple[SizeInfo, ...]
    relations: Mapping[str, Mapping[str, str]]
    input: str
    output: str
    parameters: tuple[str, ...]
    tensors: Mapping[str, TensorInfo]
    initial: Mapping[str, Mapping[str, Any]]
    checks: tuple[tuple[str, str], ...]
    kernels: tuple[KernelInfo, ...]
    heads: Mapping[str, HeadInfo]
    macros: tuple[str, ...]
    folder: Folder = field(repr=False)
    range: tuple[float | None, float | None] = (None, None)  # of the output before phi
    rows_macros: tuple[str, ...] = ()
    selects: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    requirements: tuple[tuple[str, str], ...] = ()

    def shown(self, name: str) -> str:
        """What the user calls the size, tensor, relation or column ``name`` of the kernels, or its
        delta or gradient.
        """
        for prefix in ("", *DERIVATIVES):
            if name.startswith(prefix) and name[len(prefix) :] in self.names:
                return prefix + self.names[name[len(prefix) :]]
        return name

    @property
    def flat(self) -> bool:
        """True where the input is one axis of units, so that any shape is taken, flattened."""
        return len(self.tensors[self.input].shape) == 1

    def kernel(self, name: str) -> KernelInfo:
        """The kernel ``name``; ManifestError where there is none."""
        return _kernel(self.name, self.kernels, name)


@dataclass(frozen=True)
class ActivationInfo:
    """phi: which value its derivative is computed from, and its infimum and supremum (None where unbounded).

    ``increasing``: whether it is proved that phi never falls.
    ``function``: its name after ``phi_`` and ``dphi_`` in kernels.
    ``builtin``: whether the folder repeats one that comes with the package.
    """

    name: str
    derivative_in: str
    range: tuple[float | None, float | None]
    digest: str
    folder: Folder = field(repr=False)
    increasing: bool = False
    function: str = ""
    builtin: bool = False


@dataclass(frozen=True)
class LossInfo:
    """An error function: the targets and outputs it admits, its kernels, and the pair of kernels per
    activation.

    ``equation``: the error of one output; "" where a folder does not say.
    ``builtin``: whether the folder repeats one that comes with the package.
    ``elsewhere``: the same error function in other folders, with kernels for other activations.
    """

    name: str
    file: str
    targets: tuple[float | None, float | None]
    outputs: tuple[float | None, float | None]
    open: tuple[bool, bool]
    digest: str
    tensors: Mapping[str, TensorInfo]
    kernels: tuple[KernelInfo, ...]
    pairs: Mapping[str, tuple[str, str]]  # activation -> (value kernel, delta kernel)
    macros: tuple[str, ...]
    folder: Folder = field(repr=False)
    rows_macros: tuple[str, ...] = ()
    equation: str = ""
    builtin: bool = False
    elsewhere: tuple[LossInfo, ...] = field(default=(), repr=False)

    def kernel(self, name: str) -> KernelInfo:
        """The kernel ``name``; ManifestError where there is none."""
        return _kernel(self.file, self.kernels, name)

    def over(self, lower: LossInfo | None) -> LossInfo:
        """This one, which knows that ``lower`` has kernels too, where both are the same error function."""
        if lower is None or not self.equation or lower.equation != self.equation:
            return lower if lower is not None and self.builtin and not lower.builtin else self
        return replace(self, elsewhere=(*self.elsewhere, replace(lower, elsewhere=()), *lower.elsewhere))

    def with_activation(self, activation: ActivationInfo) -> LossInfo:
        """The one that has kernels for ``activation``; this one where none has."""
        return next((loss for loss in (self, *self.elsewhere) if loss.knows(activation)), self)

    def knows(self, activation: ActivationInfo) -> bool:
        """Whether it has kernels for ``activation``, and not for another of that name."""
        known = self.folder.activations.get(activation.name, activation.digest)
        return activation.name in self.pairs and known == activation.digest


@dataclass(frozen=True)
class Manifest:
    """Everything that networks can be built from: one generated folder, or several on top of each other."""

    layers: Mapping[str, LayerInfo]
    activations: Mapping[str, ActivationInfo]
    losses: Mapping[str, LossInfo]

    def over(self, lower: Manifest) -> Manifest:
        """This manifest on top of ``lower``; where both have a name, this one counts.

        What comes with the package never hides what a user defined.
        """

        def counts(name: str, own: ActivationInfo) -> bool:
            return not own.builtin or name not in lower.activations or lower.activations[name].builtin

        return Manifest(
            {**lower.layers, **self.layers},
            {**lower.activations, **{n: a for n, a in self.activations.items() if counts(n, a)}},
            {
                **lower.losses,
                **{name: loss.over(lower.losses.get(name)) for name, loss in self.losses.items()},
            },
        )

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the layer families, sorted."""
        return tuple(sorted({layer.family for layer in self.layers.values()}))

    def variants(self, family: str) -> tuple[LayerInfo, ...]:
        """The variants of a family, the default options first; ShapeError with the known families
        otherwise.
        """
        found = [layer for layer in self.layers.values() if family in (layer.family, layer.name)]
        if not found:
            raise ShapeError(
                f"unknown layer {family!r}, known are {', '.join(self.families)}"
                f"{did_you_mean(family, self.families)}"
            )
        return tuple(sorted(found, key=_distance_from_default))

    def activation(self, name: str) -> ActivationInfo:
        """The activation ``name``; ShapeError with the known ones otherwise."""
        if name not in self.activations:
            raise ShapeError(
                f"unknown activation {name!r}, known are {', '.join(sorted(self.activations))}"
                f"{did_you_mean(name, self.activations)}"
            )
        return self.activations[name]

    def loss(self, name: str) -> LossInfo:
        """The loss ``name``; PhizError with the known ones otherwise."""
        if name not in self.losses:
            raise PhizError(
                f"unknown loss {name!r}, known are {', '.join(sorted(self.losses))}"
                f"{did_you_mean(name, self.losses)}"
            )
        return self.losses[name]


def _distance_from_default(layer: LayerInfo) -> tuple[int, ...]:
    return tuple(
        layer.choices[key].index(value) for key, value in layer.options.items() if key in layer.choices
    )


def _kernel(where: str, kernels: tuple[KernelInfo, ...], name: str) -> KernelInfo:
    for kernel in kernels:
        if kernel.name == name:
            return kernel
    raise ManifestError(f"{where}: the manifest lists no kernel {name!r}; run: phiz generate")
