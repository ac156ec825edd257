"""``manifest.json`` read: from what ``schema`` has checked to the records of ``records.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ManifestError
from ..schema.check import converted
from ..schema.manifest_file import (
    ActivationRecord,
    ConstantRecord,
    KernelRecord,
    LaunchRecord,
    LayerRecord,
    LossRecord,
    ManifestFile,
    SizeRecord,
    TensorRecord,
)
from .folder import Folder
from .records import (
    SAMPLES,
    ActivationInfo,
    BoundsInfo,
    CacheTileInfo,
    ConstantInfo,
    HeadInfo,
    KernelInfo,
    LaneInfo,
    LaunchInfo,
    LayerInfo,
    LocalInfo,
    LoopSplitInfo,
    LossInfo,
    Manifest,
    PackedInfo,
    SizeInfo,
    SmallestOfRows,
    TensorInfo,
    TileInfo,
)


def manifest_file(data: Any, where: str) -> ManifestFile:
    """The manifest, checked; ManifestError that begins with ``where`` and names the entry that is wrong."""
    return converted(data, ManifestFile, where, ManifestError)


def parse(data: ManifestFile | Mapping[str, Any], folder: Folder) -> Manifest:
    """The typed form of a manifest; ManifestError where it is malformed."""
    file = data if isinstance(data, ManifestFile) else manifest_file(data, str(folder.path / "manifest.json"))
    return Manifest(
        {name: _layer(name, record, folder) for name, record in file.layers.items()},
        {name: _activation(name, record, folder) for name, record in file.activations.items()},
        {name: _loss(name, record, folder) for name, record in file.losses.items()},
    )


def _size(record: SizeRecord) -> SizeInfo:
    least = record.smallest
    return SizeInfo(
        record.name,
        record.source,
        record.axis,
        record.keyword or "",
        record.entry,
        record.default,
        record.minimum,
        record.value,
        record.table,
        record.index,
        None if least is None else SmallestOfRows(least.relation, least.by, least.row),
        record.relation,
        record.column,
        record.random,
    )


def _tensors(records: Mapping[str, TensorRecord]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(name, record.kind, tuple(record.shape), record.samples, record.ragged, record.layout)
        for name, record in records.items()
    }


def _pairs(axes: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(names) for names in axes)


def _launch(record: LaunchRecord) -> LaunchInfo:
    lanes, split, local, cache = record.lanes, record.loop_split, record.local, record.cache_tile
    return LaunchInfo(
        {macro: TileInfo(extent) for macro, extent in record.tiles.items()},
        _pairs(record.operands),
        tuple(record.global_size),
        record.index,
        SAMPLES if lanes is None else LaneInfo(lanes.over, lanes.extent, tuple(lanes.strides), lanes.step),
        _pairs(record.sliding),
        record.partial_sums,
        record.reduction_group,
        None if split is None else LoopSplitInfo(split.macro, tuple(split.iterations)),
        {macro: tuple(BoundsInfo(*found) for found in loops) for macro, loops in record.bounds.items()},
        record.unroll,
        None if record.constant is None else _constant(record.constant),
        None if local is None else LocalInfo(local.macro, local.iterations, local.each),
        None if cache is None else CacheTileInfo(cache.macro, cache.iterations),
        tuple(record.invariant),
        _pairs(record.sums),
        None if record.packed is None else PackedInfo(record.packed.macro, record.packed.tensors),
        {macro: tuple(texts) for macro, texts in record.alone.items()},
    )


def _constant(record: ConstantRecord) -> ConstantInfo:
    return ConstantInfo(
        record.macro,
        record.whole,
        record.sliced,
        record.maps,
        record.tile,
        record.dimension,
        record.split,
    )


def _kernels(records: Sequence[KernelRecord]) -> tuple[KernelInfo, ...]:
    return tuple(
        KernelInfo(
            record.name,
            record.role,
            record.target,
            tuple(record.arguments),
            record.output,
            record.position,
            record.finish,
            tuple(record.sizes),
            tuple(record.relations),
            {layout: _launch(launch) for layout, launch in record.launches.items()},
            record.work,
            record.cut,
        )
        for record in records
    )


def _layer(name: str, record: LayerRecord, folder: Folder) -> LayerInfo:
    return LayerInfo(
        name,
        record.family,
        record.options,
        {key: tuple(values) for key, values in record.choices.items()},
        record.doc,
        record.digest,
        tuple(_size(size) for size in record.sizes),
        {relation: entry.columns for relation, entry in record.relations.items()},
        record.input,
        record.output,
        tuple(record.parameters),
        _tensors(record.tensors),
        record.initial,
        tuple((check.condition, check.message) for check in record.checks),
        _kernels(record.kernels),
        {loss: HeadInfo(head.tensor, head.value, head.delta) for loss, head in record.heads.items()},
        tuple(record.macros.sample_inner),
        folder,
        record.range,
        tuple(record.macros.sample_outer),
        record.selects,
        record.names,
        name if record.file is None else record.file,
        tuple((need.condition, need.message) for need in record.requirements),
    )


def _activation(name: str, record: ActivationRecord, folder: Folder) -> ActivationInfo:
    return ActivationInfo(
        name,
        record.derivative_in,
        record.range,
        record.digest,
        folder,
        record.increasing,
        name if record.function is None else record.function,
        record.builtin,
    )


def _loss(name: str, record: LossRecord, folder: Folder) -> LossInfo:
    return LossInfo(
        name,
        record.file,
        record.targets,
        record.outputs,
        record.open,
        record.digest,
        _tensors(record.tensors),
        _kernels(record.kernels),
        {activation: (pair.value, pair.delta) for activation, pair in record.pairs.items()},
        tuple(record.macros.sample_inner),
        folder,
        tuple(record.macros.sample_outer),
        record.equation,
        record.builtin,
    )
