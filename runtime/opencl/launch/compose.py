"""Composed passes are programs whose kernels call the item functions of several steps.

A program contains the text of every unit once.  A prefix keeps the names of the units apart.
``launch.fused`` (CPUs) and ``launch.grouped`` (devices of many work items) decide how steps are put into
kernels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyopencl as cl

from ...program.flat_vectors import Parts
from ...program.program import Step
from ..device.programs import KERNEL, REAL, Binding, compiled, precision_options
from ..plan.plan import Plan
from .block_layout import BlockLayout
from .calls import set_number
from .memory import OpenCLResident, Region

_FUNCTION = re.compile(r"^static \w+ (\w+)\(", re.MULTILINE)
_ENUM = re.compile(r"^enum \{ (.*) \};$", re.MULTILINE)
_DEFINE = re.compile(r"^#define (\w+)", re.MULTILINE)
_TYPE = re.compile(r"^typedef [\w(), ]+ (\w+);", re.MULTILINE)

#: The byte of its argument at which a tensor begins; tensors that are left out begin at byte 0.
Offsets = Mapping[str, int]
#: A built kernel, its global size and its local size.
Queued = tuple[cl.Kernel, tuple[int, ...], tuple[int, ...]]


class ComposedPass:
    """The launches of one kind of pass.

    ``launches``: the steps of each launch.
    ``names``: for each launch, the keys of the tensors that are its kernel's arguments.
    ``text``: OpenCL text with one kernel per launch: ``launch0``, ``launch1``, ...
    ``functions``: their names, where several launches share a kernel.
    ``numbers``: for each launch, what stands before the last argument.

    Raises DeviceError if the device's compiler refuses the text.
    """

    repeats = False

    def __init__(
        self,
        launches: Sequence[Sequence[Step]],
        names: Sequence[Sequence[str]],
        text: str,
        dtype: str,
        device: Any,
        functions: Sequence[str] = (),
        numbers: Sequence[tuple[int, ...]] = (),
    ) -> None:
        program = compiled(text, precision_options(REAL[dtype]), device, "a composed pass")
        own = functions or [f"launch{n}" for n in range(len(launches))]
        self.kernels = [cl.Kernel(program, name) for name in own]
        self.keys = names
        self.tables = [tables(steps) for steps in launches]
        self.numbers = numbers or [()] * len(launches)
        self._moving: list[tuple[cl.Kernel, int, str]] = []
        self._given: list[Any] = []
        self._regions: tuple[Region, ...] = ()
        self._samples = -1
        self._ready: Sequence[Any] = ()

    def bind(self, where: Mapping[str, Region], index: Mapping[int, Any]) -> None:
        """Sets the arguments that stay the same: tensors in ``where``, and the index tables of each unit."""
        for launch, (kernel, names, units) in enumerate(
            zip(self.kernels, self.keys, self.tables, strict=True)
        ):
            for position, key in enumerate(names):
                if key in where:
                    kernel.set_arg(position, where[key].place(key)[0])
                else:
                    self._moving.append((kernel, position, key))
                    self._given.append(None)
            for position, unit in enumerate(units, len(names)):
                kernel.set_arg(position, index[unit])
            for position, number in enumerate(self.numbers[launch], len(names) + len(units)):
                set_number(kernel, position, number)

    def fit(self, regions: tuple[Region, ...], resident: OpenCLResident) -> None:
        """Lets the launches compute on ``resident``; the arguments that change lie in one of ``regions``."""
        if resident.samples != self._samples:
            self.resize(resident)
            self._samples = resident.samples
        if regions != self._regions:
            given = {key: region.place(key)[0] for region in regions for key in region.layout.offsets}
            for number, (kernel, position, key) in enumerate(self._moving):
                if self._given[number] is not given[key]:
                    kernel.set_arg(position, given[key])
                    self._given[number] = given[key]
            self._regions = regions

    def resize(self, resident: OpenCLResident) -> None:
        """Prepares the launches for the number of samples of ``resident``."""
        raise NotImplementedError

    def launch(self, number: int, queue: cl.CommandQueue, times: int = 1) -> Any:
        """Queues launch ``number``, ``times`` times; returns the last event, None if nothing is to do."""
        raise NotImplementedError

    def events(self, number: int, queue: cl.CommandQueue, times: int = 1) -> list[Any]:
        """Queues launch ``number``; returns the event of each kernel."""
        raise NotImplementedError

    def run(self, queue: cl.CommandQueue) -> Any:
        """Queues all launches without waiting; returns the last event, None if there is nothing to do."""
        event = None
        for number in range(len(self._ready)):
            event = self.launch(number, queue) or event
        return event

    def set_last(self, number: int, value: int) -> None:
        """Sets the last argument of launch ``number``."""
        before = len(self.keys[number]) + len(self.tables[number]) + len(self.numbers[number])
        set_number(self.kernels[number], before, value)


# ------------------------------------------------------------------------------------------------------- text
def keys(steps: Iterable[Step], vectors: Parts) -> list[str]:
    """The arguments of a kernel for ``steps``, by key: tensors, or the flat vectors that contain them."""
    return list(
        dict.fromkeys(vectors[key][0] if key in vectors else key for step in steps for key in step.keys)
    )


def tables(steps: Iterable[Step]) -> list[int]:
    """The units of ``steps`` whose index tables a kernel takes after the tensors."""
    return sorted({step.unit for step in steps if step.kernel.index})


def parameters(names: Sequence[str], units: Sequence[int], last: str) -> str:
    """The parameter list of a kernel that takes the tensors ``names`` and the index tables of ``units``."""
    found = [f"__global char *b{n}" for n in range(len(names))] + [
        f"__global const int *index{unit}" for unit in units
    ]
    return ", ".join([*found, f"const int {last}"])


@dataclass(frozen=True)
class TensorStart:
    """Where a tensor begins: at byte ``start`` of argument ``number``, ``stride`` bytes on for each block."""

    number: int
    stride: int
    start: int

    def text(self, block: str = "", start: str = "") -> str:
        """The pointer as C text.

        ``block``: the number of the block.
        ``start``: what stands for the byte.
        """
        moved = f" + (size_t){block} * {self.stride}" if self.stride and block else ""
        moved += f" + {start or self.start}" if self.start else ""
        return f"b{self.number}{moved}"


def tensor_starts(
    step: Step,
    names: Sequence[str],
    vectors: Parts,
    itemsize: int,
    offsets: Offsets,
    layout: BlockLayout | None = None,
) -> list[TensorStart]:
    """Where the tensors of ``step`` begin; see ``given``."""
    units, found = _units(step), []
    for key in step.keys:
        stride = layout.count(units[key]) * itemsize if layout is not None and key in units else 0
        vector, part = vectors.get(key, (key, slice(0)))
        found.append(
            TensorStart(names.index(vector), stride, offsets.get(vector, 0) + (part.start or 0) * itemsize)
        )
    return found


def given(
    step: Step,
    names: Sequence[str],
    vectors: Parts,
    itemsize: int,
    offsets: Offsets,
    layout: BlockLayout | None = None,
    block: str = "",
) -> list[str]:
    """The first arguments of a call of ``step``'s item function; the numbers of vectors follow them.

    ``names``: the keys of the arguments of the kernel that makes the call.
    ``offsets``: the byte of its argument at which a tensor begins.
    ``layout``: the layout of the tensors in blocks; None if the item computes on all samples.
    ``block``: C text for the number of the block that the item computes on.
    """
    found = tensor_starts(step, names, vectors, itemsize, offsets, layout)
    arguments = [f"(__global void *)({place.text(block)})" for place in found]
    return [*arguments, *([f"index{step.unit}"] if step.kernel.index else [])]


def whole_slices(step: Step) -> list[str]:
    """The starts of the slices of parameters: all 0, as composed passes take whole parameters."""
    return ["0"] * len(step.kernel.constant.sliced if step.kernel.constant else ())


def _units(step: Step) -> dict[str, int]:
    """The number of units of each tensor with samples that the step reads or writes."""
    found = {
        a.key: a.extent.units
        for a in (*step.reads, step.writes, step.position, step.factor)
        if a is not None and a.samples
    }
    return found | ({step.z: step.writes.extent.units} if step.z is not None else {})


def program_text(units: Mapping[str, Binding], blocked: bool, kernels: Iterable[str]) -> str:
    """The whole program: first the text of each unit with its prefix, then the kernels."""
    return (
        "\n".join([*(_unit(prefix, binding, blocked) for prefix, binding in units.items()), *kernels]) + "\n"
    )


def _source(text: str) -> str:
    """A unit's text without its opening comments and without its kernels, which composed ones replace."""
    return KERNEL.sub("", text[text.index("#") :] if "#" in text else text)


def names(text: str) -> list[str]:
    """The names, besides macros, that a unit's text defines at file scope, in order."""
    found = [*_FUNCTION.findall(text), *_TYPE.findall(text)]
    for line in _ENUM.findall(text):
        found += [entry.split("=")[0].strip() for entry in line.split(",")]
    return list(dict.fromkeys(found))


def _unit(prefix: str, binding: Binding, blocked: bool) -> str:
    """A unit's text between the definitions of its macros and prefixes and the ``#undef`` of each."""
    text = _source(binding.unit.source)
    macros = {
        name: int(blocked) if name == "BLOCKED" else binding.values[name] for name in binding.unit.macros
    }
    prefixed = {name: f"{prefix}_{name}" for name in names(text)}
    before = [f"#define {name} {value}" for name, value in (prefixed | macros).items()]
    defined = dict.fromkeys([*prefixed, *macros, *(n for n in _DEFINE.findall(text) if n not in prefixed)])
    return "\n".join(
        [f"// {binding.unit.label}: {binding.unit.file}.cl", *before, text, *(f"#undef {n}" for n in defined)]
    )


def has_items(plan: Plan, number: int, name: str) -> bool:
    """Whether the kernel ``name`` of unit ``number`` has an item function."""
    unit = plan.units[number]
    return f"static void {name}_item(" in unit.folder.text(unit.path)
