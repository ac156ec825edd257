"""``manifest.json`` read: from JSON to the typed records of ``records.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .records import (
    SAMPLE_INNER,
    SAMPLE_OUTER,
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

if TYPE_CHECKING:
    from .folder import Folder


def parse(data: Mapping[str, Any], folder: Folder) -> Manifest:
    """The typed form of a manifest; KeyError, TypeError or ValueError where it is malformed."""
    return Manifest(
        {name: _layer(name, record, folder) for name, record in data["layers"].items()},
        {name: _activation(name, record, folder) for name, record in data.get("activations", {}).items()},
        {name: _loss(name, record, folder) for name, record in data.get("losses", {}).items()},
    )


def _interval(record: Any) -> tuple[float | None, float | None]:
    low, high = record
    return (None if low is None else float(low), None if high is None else float(high))


def _size(record: Mapping[str, Any]) -> SizeInfo:
    known = {
        k: v
        for k, v in record.items()
        if k in SizeInfo.__dataclass_fields__ and k != "smallest" and v is not None
    }
    smallest = record.get("smallest")
    return SizeInfo(**known, smallest=None if smallest is None else SmallestOfRows(**smallest))


def _tensors(records: Mapping[str, Mapping[str, Any]]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            name,
            record["kind"],
            tuple(str(size) for size in record["shape"]),
            bool(record["samples"]),
            bool(record.get("ragged", False)),
            record.get("layout", ""),
        )
        for name, record in records.items()
    }


def _kernels(records: Any) -> tuple[KernelInfo, ...]:
    return tuple(_kernel_record(record) for record in records)


def _lanes(record: Mapping[str, Any]) -> LaneInfo:
    return LaneInfo(
        str(record["over"]),
        str(record["extent"]),
        tuple(str(stride) for stride in record["strides"]),
        str(record.get("step", "1")),
    )


def _launch(record: Mapping[str, Any]) -> LaunchInfo:
    loop_split, local, cache_tile = record.get("loop_split"), record.get("local"), record.get("cache_tile")
    return LaunchInfo(
        {macro: TileInfo(extent) for macro, extent in record["tiles"].items()},
        tuple(tuple(operand) for operand in record["operands"]),
        tuple(str(size) for size in record["global"]),
        bool(record.get("index", False)),
        _lanes(record["lanes"]) if "lanes" in record else SAMPLES,
        tuple(tuple(axes) for axes in record.get("sliding", ())),
        str(record.get("partial_sums", "")),
        str(record.get("reduction_group", "")),
        None
        if loop_split is None
        else LoopSplitInfo(str(loop_split["macro"]), tuple(loop_split["iterations"])),
        {
            macro: tuple(BoundsInfo(*found) for found in loops)
            for macro, loops in record.get("bounds", {}).items()
        },
        str(record.get("unroll", "")),
        _constant(record.get("constant")),
        None
        if local is None
        else LocalInfo(str(local["macro"]), str(local["iterations"]), str(local["each"])),
        None
        if cache_tile is None
        else CacheTileInfo(str(cache_tile["macro"]), str(cache_tile["iterations"])),
        tuple(bool(invariant) for invariant in record.get("invariant", ())),
        tuple(tuple(axes) for axes in record.get("sums", ())),
        _packed(record.get("packed")),
        {macro: tuple(map(str, found)) for macro, found in record.get("alone", {}).items()},
    )


def _packed(record: Mapping[str, Any] | None) -> PackedInfo | None:
    if record is None:
        return None
    tensors = {}
    for name, extents in record["tensors"].items():
        outer, extent, inner = map(str, extents)
        tensors[name] = (outer, extent, inner)
    return PackedInfo(str(record["macro"]), tensors)


def _kernel_record(record: Mapping[str, Any]) -> KernelInfo:
    return KernelInfo(
        record["name"],
        record["role"],
        record["target"],
        tuple(record["arguments"]),
        record["output"],
        record.get("position"),
        record.get("finish", ""),
        tuple(record["sizes"]),
        tuple(record["relations"]),
        {layout: _launch(launch) for layout, launch in record["launches"].items()},
        str(record.get("work", "1")),
        bool(record.get("cut", False)),
    )


def _constant(record: Mapping[str, Any] | None) -> ConstantInfo | None:
    if record is None:
        return None
    return ConstantInfo(
        str(record["macro"]),
        dict(record["whole"]),
        dict(record.get("sliced", {})),
        str(record.get("maps", "1")),
        str(record.get("tile", "")),
        int(record.get("dimension", 1)),
        str(record.get("split", "")),
    )


def _layer(name: str, record: Mapping[str, Any], folder: Folder) -> LayerInfo:
    return LayerInfo(
        name,
        record["family"],
        record["options"],
        {key: tuple(values) for key, values in record.get("choices", {}).items()},
        record["doc"],
        record["digest"],
        tuple(_size(size) for size in record["sizes"]),
        {relation: dict(entry["columns"]) for relation, entry in record["relations"].items()},
        record["input"],
        record["output"],
        tuple(record["parameters"]),
        _tensors(record["tensors"]),
        record["initial"],
        tuple((check["condition"], check["message"]) for check in record["checks"]),
        _kernels(record["kernels"]),
        {
            loss: HeadInfo(head["tensor"], head["value"], head["delta"])
            for loss, head in record["heads"].items()
        },
        tuple(record["macros"][SAMPLE_INNER]),
        folder,
        _interval(record.get("range", (None, None))),
        _rows_macros(record),
        str(record.get("selects", "")),
        {str(own): str(given) for own, given in record.get("names", {}).items()},
        str(record.get("file", name)),
        tuple((need["condition"], need["message"]) for need in record.get("requirements", ())),
    )


def _activation(name: str, record: Mapping[str, Any], folder: Folder) -> ActivationInfo:
    increasing = bool(record.get("increasing", False))
    function = str(record.get("function", name))
    return ActivationInfo(
        name,
        record["derivative_in"],
        _interval(record["range"]),
        record["digest"],
        folder,
        increasing,
        function,
        bool(record.get("builtin", False)),
    )


def _loss(name: str, record: Mapping[str, Any], folder: Folder) -> LossInfo:
    low_open, high_open = record["open"]
    return LossInfo(
        name,
        record["file"],
        _interval(record["targets"]),
        _interval(record["outputs"]),
        (bool(low_open), bool(high_open)),
        record["digest"],
        _tensors(record["tensors"]),
        _kernels(record["kernels"]),
        {activation: (pair["value"], pair["delta"]) for activation, pair in record["pairs"].items()},
        tuple(record["macros"][SAMPLE_INNER]),
        folder,
        _rows_macros(record),
        str(record.get("equation", "")),
        bool(record.get("builtin", False)),
    )


def _rows_macros(record: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(record["macros"].get(SAMPLE_OUTER, ()))
