"""Networks of chained layers, evaluated and differentiated with respect to one flat parameter vector."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backend import VALUE_AND_GRADIENT, Backend, Executor, Pending, Request, Result
from ..data.numbers import as_numbers
from ..errors import DataError, NotFiniteError, PhizError, ShapeError
from ..manifest.loading import load_manifest
from ..manifest.records import Manifest
from ..program.layer import LayerSpec
from ..program.program import Program, Slice
from ..program.shape import Shape
from ..reference.empty_maxima import check_maxima
from ..schema.check import checked
from .backends import as_backend
from .batch import Batch, admissible, even_parts, finite, rows, weight_row
from .connect import check_loss_range, connect
from .executors import Executors, Residents
from .jacobian import jacobian_chunks
from .memory import require_memory
from .nonfinite import NotFinite, first_nonfinite, nonfinite_parameter

Floats = npt.NDArray[Any]

DTYPES = ("float32", "float64")
FORMAT = 1
#: A pass may be this many times as long as the backend's micro-batch.  That is no slower and can save a pass.
LONGER = 1.5
OUTPUTS, LOSSES = Request(outputs=True), Request(losses=True)


class Network:
    """Layers on an input of shape ``input_shape``, with a loss at the end.

    ``layers``: specifications from ``layer(...)``.
    ``input_shape``: ``units``, ``(maps, H, W)``, or one size tuple per map.
    ``backend``: "opencl", "numpy", "auto" (OpenCL if there is a device) or a ``Backend``.
    ``dtype``: "float32" or "float64".
    ``seed``: seed of the initial parameters (``initial.py``).
    ``manifests``: users' generated folders, on top of the built-in one, or a ``Manifest``, which
        ``load_manifest(folders, trust=True)`` makes of folders that others generated.
    ``micro_batch``: the most samples per pass, which bounds the memory for any number of samples (default:
        about as many as the backend chooses by its caches).
    ``device``: see ``device.py``.

    ``parameters`` is the flat vector, in the dtype of the network.  It holds layer after layer, from the
    input on.  The parameters of a layer follow the order of its definition: w row-major, then b.  If kernels
    differ in size, they follow one another by kernel id.  ``slices`` tells where each parameter lies.

    Raises ShapeError that names the layer if shapes do not chain, PhizError if the last layer's range does
    not fit the loss, DeviceError, and ManifestError.
    """

    def __init__(
        self,
        layers: Sequence[LayerSpec],
        input_shape: Any,
        loss: str = "ce",
        backend: str | Backend = "opencl",
        dtype: str = "float32",
        seed: int = 0,
        manifests: Iterable[str | os.PathLike[str]] | Manifest = (),
        micro_batch: int | None = None,
        device: str | None = None,
    ) -> None:
        dtype, seed, micro_batch = _plain_arguments(loss, dtype, seed, micro_batch, device)
        self.manifest = manifests if isinstance(manifests, Manifest) else load_manifest(manifests)
        self.input_shape = Shape.of(input_shape)
        self.dtype, self.seed = dtype, seed
        self.layers = connect(self.manifest, layers, self.input_shape)
        self.output_shape = self.layers[-1].output
        self.loss = self.manifest.loss(loss)
        if not self.layers[-1].linear:  # of others, the program knows whether the loss is fused with them
            check_loss_range(self.layers[-1], self.loss)
        self.program = Program(self.layers, self.loss)
        if self.program.head is None:
            check_loss_range(self.layers[-1], self.loss)
        require_memory(self.program, dtype)
        for each in self.layers:
            check_maxima(each)
        self.backend = as_backend(backend, device)
        self.backend.require(dtype)
        self.micro_batch = micro_batch or self.backend.micro_batch(self.program, dtype)
        self._longest = micro_batch or int(LONGER * self.micro_batch)
        self.parameters = self._initial(self.backend.vector(self.parameter_count, dtype), seed)
        self._executors = Executors(self.backend, self.program, dtype)

    # -------------------------------------------------------------------------------------------- description
    @property
    def parameter_count(self) -> int:
        """Length of the flat parameter vector."""
        return self.program.parameter_count

    @property
    def slices(self) -> tuple[Slice, ...]:
        """The layer, name, offset and shape of every parameter, in order."""
        return self.program.parameters

    def parameter(self, index: int, name: str, parameters: Floats | None = None) -> Any:
        """Parameter ``name`` of layer ``index``, as a view in its own shape.

        If kernels differ in size, it is a list of arrays.
        """
        flat = self.parameters if parameters is None else parameters
        for piece in self.slices:
            if (piece.layer, piece.name) == (index, name):
                return _shaped(flat[piece.part], piece)
        raise ShapeError(f"layer {index} has no parameter {name!r}")

    def initial_parameters(self, seed: int) -> Floats:
        """Fresh initial parameters for ``seed``."""
        return self._initial(np.empty(self.parameter_count, self.dtype), seed)

    def _initial(self, values: Floats, seed: int) -> Floats:
        """Fills ``values`` layer by layer; each layer's numbers come in float64."""
        start = 0
        for layer in self.layers:
            own = layer.initial(seed)
            values[start : start + len(own)] = own
            start += len(own)
        return values

    @property
    def digests(self) -> dict[str, str]:
        """The digest of every definition that the network uses.

        Saved parameters keep their meaning only if all digests are the same.
        """
        found = {f"layer {layer.info.name}": layer.info.digest for layer in self.layers}
        found |= {f"activation {layer.activation.name}": layer.activation.digest for layer in self.layers}
        return dict(sorted((found | {f"loss {self.loss.name}": self.loss.digest}).items()))

    def architecture(self) -> dict[str, Any]:
        """A description that can be written as JSON; ``from_architecture`` reads it back."""
        return {
            "format": FORMAT,
            "input_shape": self.input_shape.listed(),
            "layers": [layer.spec.to_dict() for layer in self.layers],
            "loss": self.loss.name,
            "dtype": self.dtype,
        }

    @classmethod
    def from_architecture(cls, record: Mapping[str, Any], **options: Any) -> Network:
        """Makes the network that ``architecture`` described.

        ``options``: keywords of ``Network``, such as ``backend``, ``seed`` and ``manifests``.
        """
        from ..schema.network_file import ArchitectureRecord

        found = checked(record, ArchitectureRecord, "architecture")
        if found.format != FORMAT:
            raise PhizError(f"architecture of format {found.format!r}, this phiz reads format {FORMAT}")
        layers = [LayerSpec.from_dict(entry) for entry in found.layers]
        values = {"input_shape": found.input_shape, "loss": found.loss, "dtype": found.dtype}
        return cls(layers, **{**values, **options})

    # --------------------------------------------------------------------------------------------- evaluation
    def place(self, inputs: Any, targets: Any = None, weights: Any = None) -> Placed:
        """Checks samples and brings them to the device once; the result is passed instead of ``inputs``.

        So an objective that is evaluated again and again on all samples transfers only parameters and
        gradients.
        """
        batch = self._batch(inputs, targets, weights, targets is not None)
        size = self.part_length(len(batch))
        request = OUTPUTS if targets is None else VALUE_AND_GRADIENT
        return Placed(self, batch, Residents(batch, size, lambda: self.executor(size, request)))

    def forward(self, parameters: Any, inputs: Any) -> Floats:
        """Outputs Y of the last layer, ``(N, *output shape)``; ``(N, units)`` if maps differ in size."""
        batch = self._samples(inputs)
        outputs = np.empty((len(batch), self.output_shape.units), self.dtype)
        for part, result in self._passes(parameters, batch, OUTPUTS):
            outputs[part] = result.outputs
        return outputs.reshape(len(outputs), *self.output_shape.axes)

    def predict(self, inputs: Any) -> Floats:
        """``forward`` with the network's own parameters."""
        return self.forward(self.parameters, inputs)

    def losses(self, parameters: Any, inputs: Any, targets: Any = None, weights: Any = None) -> Floats:
        """The error of every sample times its weight, ``(N,)``."""
        batch = self._samples(inputs, targets, weights, True)
        losses = np.empty(len(batch), self.dtype)
        for part, result in self._passes(parameters, batch, LOSSES):
            losses[part] = result.losses
        return losses

    def outputs_and_losses(
        self, parameters: Any, inputs: Any, targets: Any = None, weights: Any = None
    ) -> tuple[Floats, Floats]:
        """The results of ``forward`` and ``losses``, from one pass."""
        batch = self._samples(inputs, targets, weights, True)
        outputs, losses = (
            np.empty((len(batch), self.output_shape.units), self.dtype),
            np.empty(len(batch), self.dtype),
        )
        for part, result in self._passes(parameters, batch, Request(outputs=True, losses=True)):
            outputs[part], losses[part] = result.outputs, result.losses
        return outputs.reshape(len(outputs), *self.output_shape.axes), losses

    def value(self, parameters: Any, inputs: Any, targets: Any = None, weights: Any = None) -> float:
        """E: the sum of the errors of all samples (equation 2), in float64."""
        batch = self._samples(inputs, targets, weights, True)
        return sum(_sum(result) for _, result in self._passes(parameters, batch, LOSSES))

    def value_and_gradient(
        self, parameters: Any, inputs: Any, targets: Any = None, weights: Any = None
    ) -> tuple[float, Floats]:
        """``(E, dE/d parameters)``, both summed over the samples (equation 2).

        E is a float64, the gradient has the network's dtype.  There may be any number of samples.
        Micro-batches are summed in float64 and in order, so results repeat bit for bit.  Raises ShapeError,
        DataError or NotFiniteError for bad input.  A result that overflows is returned as it is.
        """
        batch = self._samples(inputs, targets, weights, True)
        if self.part_length(len(batch)) == len(batch):
            ((_, result),) = self._passes(parameters, batch, VALUE_AND_GRADIENT)
            return _sum(result), _present(result.gradient)
        error, gradient = 0.0, np.empty(self.parameter_count)
        for _, result in self._passes(parameters, batch, VALUE_AND_GRADIENT, total=gradient):
            error += _sum(result)
        return error, gradient.astype(self.dtype, copy=False)

    def per_sample_gradients(
        self, parameters: Any, inputs: Any, targets: Any = None, weights: Any = None
    ) -> Floats:
        """The gradient of every sample's error, ``(N, parameters)``."""
        batch = self._host(self._samples(inputs, targets, weights, True))
        gradients = np.empty((len(batch), self.parameter_count), self.dtype)
        for _ in self._passes(
            parameters, batch, Request(gradients="sample"), self.row_chunk(), rows_into=gradients
        ):
            pass
        return gradients

    def input_gradient(
        self, parameters: Any, inputs: Any, targets: Any = None, weights: Any = None
    ) -> Floats:
        """dE/d input, ``(N, *input shape)``."""
        batch = self._samples(inputs, targets, weights, True)
        gradients = np.empty((len(batch), self.input_shape.units), self.dtype)
        for part, result in self._passes(parameters, batch, Request(input_gradient=True)):
            gradients[part] = result.input_gradient
        return gradients.reshape(len(gradients), *self.input_shape.axes)

    def jacobian_chunks(
        self, parameters: Any, inputs: Any, targets: Any = None, chunk: int | None = None
    ) -> Iterator[tuple[Floats, Floats]]:
        """Yields residuals ``(n·units,)`` and Jacobian rows ``(n·units, parameters)``, chunk by chunk.

        Unit k of sample s has its residual y - t and its row dy/d parameters at ``s·units + k`` of a chunk.
        Levenberg-Marquardt accumulates them (equations 104-117).

        ``chunk``: the most samples n of a chunk; by default as many as ``ROW_BYTES`` holds.
        """
        chunk = checked(chunk, int | None, "chunk")  # type: ignore[arg-type]
        if chunk is not None and chunk < 1:
            raise PhizError(f"chunk: expected at least 1 sample, got {chunk}")
        batch = self._host(self._samples(inputs, targets, None, True))
        fixed = np.array(self._checked(parameters))  # the caller's vector may change between two chunks
        chunk = chunk or self.row_chunk(self.output_shape.units)
        executor = self.executor(min(chunk, len(batch)), Request(gradients="sample"))
        return jacobian_chunks(self.program, executor, fixed, batch, chunk)

    def first_nonfinite(
        self, parameters: Any, inputs: Any, targets: Any = None, weights: Any = None
    ) -> NotFinite | None:
        """Finds where a NaN or an infinity first appears; None if there is none.

        It searches the parameters, then kernel by kernel the forward pass, the loss, deltas and gradients.
        Bad inputs are refused as always; parameters may hold anything.
        """
        values = self._in_shape(parameters)
        found = nonfinite_parameter(self.slices, values)
        if found is not None:
            return found
        with_targets = targets is not None or isinstance(inputs, Placed)
        batch = self._host(self._samples(inputs, targets, weights, with_targets))
        size = self.part_length(len(batch))
        return first_nonfinite(self.program, self.executor(size), values, batch, size)

    # ----------------------------------------------------------------------------------------------- internal
    def part_length(self, samples: int) -> int:
        """The samples of each pass if ``samples`` are cut into micro-batches; the last one may be shorter."""
        return even_parts(samples, self.micro_batch, self._longest)

    def row_chunk(self, rows_per_sample: int = 1) -> int:
        """The samples per pass if every sample gives ``rows_per_sample`` rows of all parameters."""
        return max(1, min(self.micro_batch, self._executors.rows_within_bounds() // max(1, rows_per_sample)))

    def executor(self, samples: int, request: Request = VALUE_AND_GRADIENT) -> Executor:
        """The calling thread's executor for ``request`` on ``samples`` samples; see ``Executors``."""
        return self._executors.find(samples, request)

    def _batch(self, inputs: Any, targets: Any, weights: Any, with_targets: bool) -> Batch:
        samples = rows(inputs, self.input_shape, self.dtype, "inputs")
        if not with_targets:
            return Batch(samples)
        if targets is None:
            raise DataError("targets are missing")
        wanted = rows(targets, self.output_shape, self.dtype, "targets")
        if len(wanted) != len(samples):
            raise ShapeError(f"targets: expected {len(samples)} samples like the inputs, got {len(wanted)}")
        admissible(wanted, self.loss)
        return Batch(
            samples, wanted, None if weights is None else weight_row(weights, len(samples), self.dtype)
        )

    def _samples(
        self, inputs: Any, targets: Any = None, weights: Any = None, with_targets: bool = False
    ) -> Batch | Placed:
        if not isinstance(inputs, Placed):
            return self._batch(inputs, targets, weights, with_targets)
        if inputs.network is not self:
            raise PhizError("the placed samples belong to another network")
        if targets is not None or weights is not None:
            raise PhizError("placed samples carry their own targets and weights")
        if with_targets and inputs.batch.targets is None:
            raise DataError("the placed samples have no targets")
        return inputs

    def _host(self, samples: Batch | Placed) -> Batch:
        return samples.batch if isinstance(samples, Placed) else samples

    def _checked(self, parameters: Any) -> Floats:
        values = self._in_shape(parameters)
        self._finite(values)
        return values

    def _in_shape(self, parameters: Any) -> Floats:
        values = as_numbers(parameters, self.dtype, "parameters")
        if values.shape != (self.parameter_count,):
            raise ShapeError(f"parameters: expected shape ({self.parameter_count},), got {values.shape}")
        return values

    def _finite(self, values: Floats) -> None:
        # A finite sum proves that all numbers are finite.  A second look is needed only if the sum overflows.
        if not isfinite(np.einsum("i->", values)) and not np.isfinite(values).all():
            raise NotFiniteError(str(nonfinite_parameter(self.slices, values)))

    def _passes(
        self,
        parameters: Any,
        samples: Batch | Placed,
        request: Request,
        chunk: int | None = None,
        *,
        rows_into: Floats | None = None,
        total: Floats | None = None,
    ) -> Iterator[tuple[slice, Result]]:
        """Runs ``request`` over micro-batches; the next one is uploaded while the device computes the last.

        ``rows_into``: ``(N, parameters)``; receives the per-sample gradients.
        ``total``: ``(parameters,)``; receives the sum of the gradients.
        """
        values = self._in_shape(parameters)
        pending: deque[tuple[slice, Pending]] = deque()

        def taken() -> tuple[slice, Result]:
            part, ready = pending.popleft()
            return part, ready.result(None if rows_into is None else rows_into[part], total, part.start > 0)

        try:
            for started in self._parts(samples, request, chunk, values):
                pending.append(started)
                if not started[0].start:  # once, while the device computes the first part
                    self._finite(values)
                if len(pending) == 2:
                    yield taken()
            while pending:
                yield taken()
        finally:
            for _, left in pending:
                left.result()

    def _parts(
        self, samples: Batch | Placed, request: Request, chunk: int | None, parameters: Floats
    ) -> Iterator[tuple[slice, Pending]]:
        if isinstance(samples, Placed):
            executor = samples.executor
            executor.set_parameters(parameters)
            for part, resident in samples.parts:
                yield part, executor.start(resident, request)
            return
        chunk = even_parts(len(samples), chunk) if chunk else self.part_length(len(samples))
        executor = self.executor(chunk, request)
        executor.set_parameters(parameters)
        for number, (part, cut) in enumerate(samples.cut(chunk)):
            resident = executor.upload(cut.inputs, cut.targets, cut.weights, slot=number % 2)
            yield part, executor.start(resident, request)


@dataclass(frozen=True)
class Placed:
    """Samples that stay on the device in the kernels' layout, for objectives that are evaluated repeatedly.

    ``Network.place`` makes it.  It is passed instead of ``inputs`` to methods of the same network.  Each
    further thread that uses it brings the samples to the device once more, for itself.
    """

    network: Network = field(repr=False)
    batch: Batch = field(repr=False)
    own: Residents = field(repr=False)

    @property
    def executor(self) -> Executor:
        """The calling thread's executor."""
        return self.own.executor

    @property
    def parts(self) -> tuple[tuple[slice, Any], ...]:
        """The samples of each pass, and where they lie on the device."""
        return self.own.parts

    def __len__(self) -> int:
        return len(self.batch)


def _plain_arguments(
    loss: Any, dtype: Any, seed: Any, micro_batch: Any, device: Any
) -> tuple[str, int, int | None]:
    """The dtype's name, the seed and the micro-batch; PhizError names the argument that is wrong."""
    from ..schema.arguments import NetworkArguments

    named = dtype.name if isinstance(dtype, np.dtype) else getattr(dtype, "__name__", dtype)
    given = {"loss": loss, "dtype": named, "seed": seed, "micro_batch": micro_batch, "device": device}
    found = checked(given, NetworkArguments, "network")
    if found.dtype not in DTYPES:
        raise PhizError(f"dtype {found.dtype!r}, expected {' or '.join(DTYPES)}")
    return found.dtype, found.seed, found.micro_batch


def _present(array: Floats | None) -> Floats:
    assert array is not None
    return array


def _sum(result: Result) -> float:
    return float(np.add.reduce(_present(result.losses), dtype=np.float64))


def _shaped(flat: Floats, piece: Slice) -> Any:
    if piece.extent.entries is None:
        return flat.reshape(piece.extent.shape)
    sizes = np.cumsum([int(np.prod(entry)) for entry in piece.extent.entries])[:-1]
    return [
        part.reshape(entry) for part, entry in zip(np.split(flat, sizes), piece.extent.entries, strict=True)
    ]


__all__ = ["Network", "NotFinite", "Placed", "finite"]
