"""A network as a list of kernel calls: which kernel reads and writes which buffer, in which order.

Independent of backend and device.  Buffers have keys:

| key | holds |
|---|---|
| ``input``, ``target``, ``weight``, ``loss`` | the batch, and the error of every sample |
| ``output:l`` | Y of layer l, its Z where phi moved to the layer above; ``output:-1`` is ``input`` |
| ``Z:l`` | Z of layer l, where phi is not linear and something needs it (else Z is ``output:l``) |
| ``l:S`` | stage, position or parameter S of layer l |
| ``delta:l`` | delta of Z of layer l, which contains phi'; ``delta:-1`` is dE/d input |
| ``l:delta_S``, ``l:gradient_w``, ``l:samplegradient_w`` | delta of a stage, gradients of a parameter |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..errors import ManifestError, PhizError
from ..manifest.folder import Folder
from ..manifest.records import HeadInfo, KernelInfo, LayerInfo, LossInfo
from .activation_text import FILE, activation_text
from .commute_activation_and_pooling import moved
from .connections import ConnectionTable
from .layer import Layer
from .memory_plan import Use, plan_memory
from .sizes import Extent

#: The folder of kernels whose samples lie one after the other.
SAMPLE_OUTER = "opencl_rows"
#: The role of a step that packs a parameter, and the kernel that does it: ``pack_item`` of the prelude.
PACK = "pack"
Gradients = Literal["none", "sum", "sample"]
#: What a parameter's gradients are called before its name.
PREFIX: dict[Gradients, str] = {"sum": "gradient_", "sample": "samplegradient_", "none": ""}
Seed = Literal["loss", "delta"]


@dataclass(frozen=True)
class Unit:
    """One file of kernels with the sizes that it is used with: a layer of the network, or its loss.

    ``activation``, ``lower``: phi of the layer and of the one below, by their names in kernels.
    ``origins``: the folders that define these two; None where the kernels apply none.
    """

    label: str
    file: str
    folder: Folder
    kernels: tuple[KernelInfo, ...]
    macros: tuple[str, ...]
    sizes: Mapping[str, Any]
    connection_tables: Mapping[str, ConnectionTable]
    activation: str
    lower: str
    store_z: bool
    rows_macros: tuple[str, ...] = ()
    form: str = "opencl"
    origins: tuple[Folder, Folder] | None = None

    @property
    def path(self) -> str:
        """The path of the OpenCL text in its folder."""
        return f"{self.form}/{self.file}.cl"

    @property
    def source(self) -> str:
        """The OpenCL text with all that it includes."""
        text, macros = self.folder.text(self.path), set(self.macros)
        if self.origins is None or f'#include "{FILE}"' not in text:
            return self.folder.source(self.path)
        names = (("PHI", f"phi_{self.activation}"), ("DPHI", f"dphi_{self.lower}"))
        wanted = [
            (folder, name)
            for folder, (macro, name) in zip(self.origins, names, strict=True)
            if macro in macros
        ]
        return self.folder.source(self.path, {FILE: activation_text(self.form, wanted)})

    @property
    def is_sample_outer(self) -> bool:
        """Whether its samples lie one after the other."""
        return self.form == SAMPLE_OUTER

    @property
    def has_sample_outer(self) -> bool:
        """Whether all kernels come in a form for samples that lie one after the other."""
        return all(kernel.rows is not None for kernel in self.kernels)

    def as_sample_outer(self) -> Unit:
        """The file for samples that lie one after the other."""
        kernels = tuple(kernel.in_rows() for kernel in self.kernels)
        return replace(self, kernels=kernels, macros=self.rows_macros, form=SAMPLE_OUTER)


@dataclass(frozen=True)
class Buffer:
    """A tensor of the network: ``units`` numbers per sample, or ``units`` numbers where it has no samples."""

    key: str
    label: str
    tensor: str
    units: int
    samples: bool


@dataclass(frozen=True)
class Argument:
    """A buffer as one kernel sees it."""

    key: str
    extent: Extent
    samples: bool


@dataclass(frozen=True)
class Step:
    """One kernel call.

    ``z`` receives Z (finish "phi"), ``factor`` holds f of dphi(f) (finish "dphi").
    ``numbers``: what it takes besides tensors and sizes.
    """

    unit: int
    kernel: KernelInfo
    reads: tuple[Argument, ...]
    writes: Argument
    position: Argument | None = None
    z: str | None = None
    factor: Argument | None = None
    numbers: tuple[int, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The buffers in the order of the kernel's arguments; Z's place takes the output where Z is not
        stored.
        """
        keys = [argument.key for argument in self.reads] + [self.writes.key]
        if self.position is not None:
            keys.append(self.position.key)
        if self.kernel.finish == "phi":
            keys.append(self.z or self.writes.key)
        return (*keys, self.factor.key) if self.factor is not None else tuple(keys)

    def as_sample_outer(self) -> Step:
        """The same call for samples that lie one after the other."""
        return replace(self, kernel=self.kernel.in_rows())

    @property
    def use(self) -> Use:
        """The buffers that the call reads and writes."""
        read = (*self.reads, self.factor) if self.factor is not None else self.reads
        written = (self.writes.key, None if self.position is None else self.position.key, self.z)
        return Use(tuple(argument.key for argument in read), tuple(key for key in written if key is not None))


@dataclass(frozen=True)
class Slice:
    """Where a parameter stands in the flat vector; ``tensor``: its name in kernels."""

    layer: int
    label: str
    name: str
    offset: int
    extent: Extent
    tensor: str

    @property
    def stop(self) -> int:
        """One past its last entry."""
        return self.offset + self.extent.units

    @property
    def part(self) -> slice:
        """Its entries in the flat vector."""
        return slice(self.offset, self.stop)

    def key(self, gradients: Gradients = "none") -> str:
        """The key of the parameter, or of its gradients."""
        return f"{self.layer}:{PREFIX[gradients]}{self.tensor}"


class Program:
    """The kernel calls of ``layers`` under ``loss``; PhizError where the loss cannot follow the last layer.

    ``layers`` of the program are those that it computes: activations may have moved behind layers that
    select.
    """

    def __init__(self, layers: Sequence[Layer], loss: LossInfo) -> None:
        self.layers = moved(layers)
        self.loss = loss.with_activation(self.layers[-1].activation)
        self.last = len(layers) - 1
        self.buffers: dict[str, Buffer] = {}
        self.head = self._usable_head()
        self.pair = None if self.head else self._pair()
        self.units = (*(self._unit(layer) for layer in self.layers), self._loss_unit())
        self.parameters = self._slices()
        self.parameter_count = self.parameters[-1].stop if self.parameters else 0
        self.forward = tuple(self._step(layer, k) for layer in self.layers for k in _role(layer, "forward"))
        self.value = self._loss_step("value")
        self._backward: dict[tuple[Seed, Gradients, bool], tuple[Step, ...]] = {}

    # ------------------------------------------------------------------------------------------------- public
    def backward(self, seed: Seed, gradients: Gradients, input_gradient: bool) -> tuple[Step, ...]:
        """The calls after ``forward`` (and after ``delta:last`` is set, for seed "delta") that give the
        gradients asked for.

        Deltas that nothing needs are left out, so the first layer's input delta runs only for
        ``input_gradient``.
        """
        wanted = (seed, gradients, input_gradient)
        if wanted not in self._backward:
            self._backward[wanted] = tuple(self._backward_steps(seed, gradients, input_gradient))
        return self._backward[wanted]

    def factor_key(self, index: int) -> str:
        """The buffer f from which layer ``index``'s phi' is computed (equations 6 and 7)."""
        if index < 0:
            return "input"
        layer = self.layers[index]
        return self._z_key(index) if layer.activation.derivative_in == "z" else f"output:{index}"

    @property
    def units_per_sample(self) -> int:
        """Numbers that a gradient computes per sample: activations, stages and deltas, and the sample
        itself.
        """
        return sum(self._per_sample().values())

    @property
    def planned_units(self) -> int:
        """Numbers per sample that a gradient needs room for where tensors that do not live together
        share it.
        """
        counts = self._per_sample()
        uses = [step.use for step in (*self.forward, self.value, *self.backward("loss", "sum", False))]
        given = sum(count for key, count in counts.items() if not any(key in use.writes for use in uses))
        return given + plan_memory(uses, counts, 1).total

    def _per_sample(self) -> dict[str, int]:
        steps = (*self.forward, self.value, *self.backward("loss", "sum", False))
        keys = dict.fromkeys(key for step in steps for key in step.use.keys)
        return {key: self.buffers[key].units for key in keys if self.buffers[key].samples}

    # -------------------------------------------------------------------------------------------------- units
    def _unit(self, layer: Layer) -> Unit:
        info = layer.info
        below = self.layers[layer.index - 1].activation if layer.index else None
        return Unit(
            layer.label,
            info.file,
            info.folder,
            info.kernels,
            info.macros,
            layer.sizes,
            layer.connection_tables,
            layer.activation.function,
            "linear" if below is None else below.function,
            self._stores_z(layer.index),
            info.rows_macros,
            origins=(layer.activation.folder, info.folder if below is None else below.folder),
        )

    def _loss_unit(self) -> Unit:
        loss, count = self.loss, self.layers[-1].output.units
        return Unit(
            f"loss {loss.name}",
            loss.file,
            loss.folder,
            loss.kernels,
            loss.macros,
            {"N": count},
            {},
            "linear",
            "linear",
            False,
            loss.rows_macros,
        )

    def _stores_z(self, index: int) -> bool:
        layer = self.layers[index]
        if layer.linear:
            return False
        output = layer.info.output
        read = any(output in k.arguments for k in layer.info.kernels if k.role != "forward")
        read_by_loss = (
            index == self.last and self.pair is not None and any("Z" in k.arguments for k in self.pair)
        )
        return layer.activation.derivative_in == "z" or read or read_by_loss

    def _slices(self) -> tuple[Slice, ...]:
        slices: list[Slice] = []
        offset = 0
        for layer in self.layers:
            for name, units in layer.parameters:
                slices.append(
                    Slice(layer.index, layer.label, layer.info.shown(name), offset, layer.tensors[name], name)
                )
                offset += units
        return tuple(slices)

    # --------------------------------------------------------------------------------------------------- loss
    def _usable_head(self) -> HeadInfo | None:
        """The fused loss of the last layer: only without an activation after it."""
        layer = self.layers[-1]
        head = layer.info.heads.get(self.loss.name)
        if head is None or not layer.linear:
            return None
        start = f"delta_{head.tensor}"
        return (
            head
            if _chain(layer.info, start, "sum", True).isdisjoint({f"delta_{layer.info.output}"})
            else None
        )

    def _pair(self) -> tuple[KernelInfo, KernelInfo]:
        activation = self.layers[-1].activation.name
        if not self.loss.knows(self.layers[-1].activation):
            known = ", ".join(sorted(self.loss.pairs))
            raise PhizError(
                f"{self.layers[-1].label}: loss {self.loss.name} has no kernels for activation "
                f"{activation}, it has {known}{self._together()}"
            )
        value, delta = self.loss.pairs[activation]
        return self.loss.kernel(value), self.loss.kernel(delta)

    def _together(self) -> str:
        """The hint to generate the loss and the last activation in one run, where they lie apart."""
        apart = (self.loss.folder, self.layers[-1].activation.folder)
        files = {str((f.path / name).resolve()): None for f in apart for name in f.definitions}
        if not files or apart[0].path == apart[1].path:
            return ""
        return f"; they were generated apart, run: phiz generate {' '.join(files)} --out DIR"

    def _loss_step(self, which: Literal["value", "delta"]) -> Step:
        if self.head is not None:
            layer = self.layers[-1]
            return self._step(layer, layer.info.kernel(getattr(self.head, which)))
        assert self.pair is not None
        kernel = self.pair[0] if which == "value" else self.pair[1]
        return Step(
            len(self.layers),
            kernel,
            tuple(self._loss_argument(name) for name in kernel.arguments),
            self._loss_argument(kernel.output),
        )

    def _loss_argument(self, name: str) -> Argument:
        tensor = self.loss.tensors.get(name)
        kind = tensor.kind if tensor is not None else "delta"
        units = self.layers[-1].output.units
        vector, scalar = Extent((units,), None, units), Extent((), None, 1)
        if name == "weight":
            return self._argument("weight", "batch", name, scalar)
        if kind == "loss" or name == "r":
            return self._argument("loss", self.units[-1].label, name, scalar)
        if kind == "target" or name == "T":
            return self._argument("target", "batch", name, vector)
        if kind == "delta" or name.startswith("delta"):
            return self._argument(
                f"delta:{self.last}", self.layers[-1].label, f"delta_{self.layers[-1].info.output}", vector
            )
        key = self._z_key(self.last) if name == "Z" else f"output:{self.last}"
        return self._argument(key, self.layers[-1].label, name, vector)

    # ----------------------------------------------------------------------------------------------- backward
    def _backward_steps(self, seed: Seed, gradients: Gradients, input_gradient: bool) -> list[Step]:
        last = self.layers[-1].info
        start = f"delta_{last.output}"
        steps = []
        if seed == "loss":
            steps.append(self._loss_step("delta"))
            start = f"delta_{self.head.tensor}" if self.head is not None else start
        for layer in reversed(self.layers):
            below = input_gradient or (
                gradients != "none" and any(lower.info.parameters for lower in self.layers[: layer.index])
            )
            kernels = self._needed(layer, start, gradients, below)
            steps += [self._step(layer, kernel) for kernel in kernels]
            if not below:
                break
            if layer.index:
                start = f"delta_{self.layers[layer.index - 1].info.output}"
        return steps

    def _needed(self, layer: Layer, start: str, gradients: Gradients, below: bool) -> list[KernelInfo]:
        """Kernels of ``layer`` that lead from the delta ``start`` to its gradients and its input's
        delta, in order.
        """
        info = layer.info
        needed = _chain(info, start, gradients, below)
        role = {"sum": "gradient", "sample": "sample_gradient", "none": ""}[gradients]
        kernels = [k for k in info.kernels if k.role in ("delta", role) and k.output in needed]
        missing = sorted(needed - {k.output for k in kernels})
        if missing:
            raise ManifestError(
                f"{layer.label}: no kernel of {info.name} computes {missing[0]}; run: phiz generate"
            )
        return kernels

    # -------------------------------------------------------------------------------------------------- steps
    def _step(self, layer: Layer, kernel: KernelInfo) -> Step:
        info, index = layer.info, layer.index
        z = factor = None
        if kernel.finish == "phi":
            z = self._z_key(index) if self._stores_z(index) else None
            if z is not None:
                self._argument(z, layer.label, info.output, layer.tensors[info.output])
        if kernel.finish == "dphi":
            factor = self._argument(
                self.factor_key(index - 1), layer.label, info.input, layer.tensors[info.input]
            )
        return Step(
            index,
            kernel,
            tuple(self._layer_argument(layer, name) for name in kernel.arguments),
            self._layer_argument(layer, kernel.output, written=kernel.finish == "phi"),
            None if kernel.position is None else self._layer_argument(layer, kernel.position),
            z,
            factor,
        )

    def _layer_argument(self, layer: Layer, name: str, written: bool = False) -> Argument:
        """What a kernel of ``layer`` calls ``name``.  ``written``: by a kernel that finishes with phi."""
        info, index = layer.info, layer.index
        if name == info.input:
            return self._argument(
                f"output:{index - 1}" if index else "input", layer.label, name, layer.tensors[name]
            )
        if name == info.output:
            key = f"output:{index}" if written else self._z_key(index)
            return self._argument(key, layer.label, name, layer.tensors[name])
        found = self._batch_argument(layer, name) or self._derived_argument(layer, name)
        if found is not None:
            return found
        if name not in info.tensors:
            raise ManifestError(f"{layer.label}: {info.name} declares no tensor {name}; run: phiz generate")
        return self._argument(
            f"{index}:{name}", layer.label, name, layer.tensors[name], info.tensors[name].samples
        )

    def _batch_argument(self, layer: Layer, name: str) -> Argument | None:
        """A tensor that comes with the batch, or the loss; None for others."""
        kind = layer.info.tensors[name].kind if name in layer.info.tensors else ""
        scalar = Extent((), None, 1)
        if kind == "target":
            return self._argument("target", "batch", name, layer.tensors[name])
        if kind == "loss":
            return self._argument("loss", f"loss {self.loss.name}", name, scalar)
        return self._argument(name, "batch", name, scalar) if kind == "input" else None

    def _derived_argument(self, layer: Layer, name: str) -> Argument | None:
        """The delta of a tensor, or a gradient by a parameter; None for others."""
        info, index = layer.info, layer.index
        for prefix, samples in (("delta_", True), ("samplegradient_", True), ("gradient_", False)):
            base = name[len(prefix) :]
            if name.startswith(prefix) and base in info.tensors:
                boundary = (
                    {info.input: f"delta:{index - 1}", info.output: f"delta:{index}"} if samples else {}
                )
                key = boundary.get(base, f"{index}:{name}")
                return self._argument(key, layer.label, name, layer.tensors[base], samples)
        return None

    def _argument(self, key: str, label: str, tensor: str, extent: Extent, samples: bool = True) -> Argument:
        self.buffers.setdefault(key, Buffer(key, label, tensor, extent.units, samples))
        return Argument(key, extent, samples)

    def _z_key(self, index: int) -> str:
        return f"Z:{index}" if self._stores_z(index) else f"output:{index}"


def _chain(info: LayerInfo, start: str, gradients: Gradients, below: bool) -> set[str]:
    """Deltas and gradients that must be computed, given the delta ``start``, for the gradients and the
    input's delta.
    """
    role = {"sum": "gradient", "sample": "sample_gradient", "none": ""}[gradients]
    producers = {k.output: k for k in info.kernels if k.role in ("delta", role)}
    wanted = [f"{PREFIX[gradients]}{name}" for name in info.parameters if role] + (
        [f"delta_{info.input}"] if below else []
    )
    needed: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name == start or name in needed:
            continue
        needed.add(name)
        reads = producers[name].arguments if name in producers else ()
        wanted += [a for a in reads if a.startswith("delta_") and a not in info.parameters]
    return needed


def _role(layer: Layer, role: str) -> list[KernelInfo]:
    return [kernel for kernel in layer.info.kernels if kernel.role == role]
