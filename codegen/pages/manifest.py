"""``manifest.json``: everything that the runtime needs to know about the generated kernels, and a
digest of every file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from ...derive.adjoint.bounds import fan_in, range_checks
from ...derive.adjoint.loss_kernels import LossDerivation
from ...derive.ir import Integer, IntExpr, Kernel, Loop, Nest, Size, TableLoop, Tensor, integers, names
from ...derive.language.frozen_activation import FrozenActivation
from ...derive.language.stages import Definition
from ...derive.pipeline import Derivation
from ...derive.symbols.freeze import IntegerFreezer
from ...derive.symbols.indices import SizeInfo
from ...derive.symbols.names import of_file, of_function, shown
from ..analysis.affine import add, multiply
from ..analysis.expression_text import condition_text, text
from ..analysis.selecting_layers import selects
from ..analysis.signature import arguments, relations, sizes
from ..opencl.blocks.kernel import KernelText, LaneText
from ..opencl.source import OpenCLModule
from ..sources import generator_digests
from ..tiling.local_memory import numbers
from ..tiling.tiling import Tile, bounded

VERSION = 3
#: A value that is no longer than ``LINE`` characters stands on one line, and one at the depth ``RECORD``: a
#: launch.
LINE, RECORD = 240, 6


def sha256(data: str | bytes) -> str:
    """The hexadecimal SHA-256 of text (UTF-8) or bytes."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def ir_digest(kernels: Sequence[Kernel], extra: object = "") -> str:
    """The digest of a derivation: equal if and only if the derived kernels are, their printed equations
    aside.
    """
    return sha256(
        repr(tuple(dataclasses.replace(kernel, latex="", text="") for kernel in kernels)) + repr(extra)
    )


def _freezer(derivation: Derivation) -> IntegerFreezer:
    definition = derivation.definition
    columns = {f"{r.name}_{c}": (r.name, c) for r in definition.relations.values() for c, _ in r.columns}
    return IntegerFreezer(frozenset(definition.sizes), columns)


def _size(info: SizeInfo, freeze: IntegerFreezer) -> dict[str, Any]:
    record: dict[str, Any] = {"name": info.name, "source": info.source}
    if info.source == "keyword":
        record |= {"keyword": info.keyword, "entry": info.entry, "default": info.default}
    if info.source == "derived" and info.keyword is not None:
        record |= {"keyword": info.keyword, "entry": info.entry}
    for key in ("axis", "table", "index", "relation", "column"):
        if getattr(info, key) is not None:
            record[key] = getattr(info, key)
    if info.value is not None:
        record["value"] = text(freeze(info.value))
    if info.smallest is not None:
        relation, by, row = info.smallest
        record["smallest"] = {"relation": relation, "by": by, "row": row}
    record["minimum"] = info.minimum
    if info.random is not None:
        record["random"] = list(info.random)
    return record


def _tensor(tensor: Tensor) -> dict[str, Any]:
    shape = [text(e) for e in tensor.shape]
    return {
        "kind": tensor.kind,
        "shape": shape,
        "samples": tensor.samples,
        "ragged": tensor.ragged,
        "layout": tensor.layout,
    }


def _work(kernel: Kernel) -> IntExpr:
    """Steps of the reductions of one point, samples aside.

    Only loops whose extent is one size for all points count, each with its full extent.
    """
    nests = []
    for nest in kernel.nests:
        extents = [loop.extent for loop in nest.loops if isinstance(loop, Loop)]
        plain = [
            e
            for e in extents
            if not names(e) and not any(isinstance(i, Size) and i.index is not None for i in integers(e))
        ]
        nests.append(multiply(*plain))
    return add(*nests)


def _bounds(kernel: Kernel, axis: str) -> list[list[str]]:
    """First iteration, end and whole extent of the loops whose bounds depend on ``axis``."""
    found = {}
    for nest in kernel.nests:
        for loop in bounded(nest, axis):
            if names(loop.lower) | names(loop.upper) == {axis} and not names(loop.extent):
                found[loop.lower, loop.upper, loop.extent] = [
                    text(e) for e in (loop.lower, loop.upper, loop.extent)
                ]
    return list(found.values())


def _launch(kernel: Kernel, launch: KernelText) -> dict[str, Any]:
    """How OpenCL runs a kernel of one layout."""
    macros = {t.axis: t.macro for t in launch.tiling.tiles}
    record: dict[str, Any] = {
        "tiles": {t.macro: None if t.extent is None else text(t.extent) for t in launch.tiling.tiles},
        "operands": [[macros[a] for a in operand.axes] for operand in launch.tiling.operands],
        "sliding": [[macros[a] for a in operand.sliding] for operand in launch.tiling.operands],
        "global": list(launch.global_size),
        "index": launch.uses_index,
        "partial_sums": launch.tiling.partial_sums,
        "reduction_group": launch.tiling.group,
        "unroll": launch.tiling.unroll,
        "constant": _constant(kernel, launch),
        "local": _local(launch),
    }
    return record | _optional(kernel, launch)


def _optional(kernel: Kernel, launch: KernelText) -> dict[str, Any]:
    """What only some kernels have: bounds that depend on a tile, split loops, invariants, further sums,
    a cache tile, lanes.
    """
    tiling, lanes = launch.tiling, launch.lanes
    macros = {t.axis: t.macro for t in tiling.tiles}
    bounds = {t.macro: found for t in tiling.tiles if (found := _bounds(kernel, t.axis))}
    split = (
        {"macro": tiling.loop_split, "iterations": [text(e) for e in tiling.iterations]}
        if tiling.loop_split
        else None
    )
    invariant = [operand.invariant for operand in tiling.operands]
    record: dict[str, Any] = {
        "bounds": bounds,
        "loop_split": split,
        "invariant": invariant if any(invariant) else None,
        "sums": [[macros[a] for a in axes] for axes in tiling.sums],
        "cache_tile": _cache(tiling.cache_tile),
        "alone": {t.macro: [text(e) for e in t.alone] for t in tiling.tiles if t.alone},
        "packed": _packed(kernel, launch),
        "lanes": _lanes(lanes),
    }
    return {key: value for key, value in record.items() if value}


def _lanes(lanes: LaneText | None) -> dict[str, Any] | None:
    if lanes is None:
        return None
    step = {} if lanes.step == Integer(1) else {"step": text(lanes.step)}
    strides = [text(e) for e in lanes.strides]
    return {"over": lanes.over, "extent": text(lanes.extent), "strides": strides} | step


def _packed(kernel: Kernel, launch: KernelText) -> dict[str, Any] | None:
    """What may be packed: for each parameter the extents before the packed index, its own, those after it."""
    if not launch.tiling.packed:
        return None
    assert launch.packed
    return {
        "macro": launch.tiling.packed,
        "tensors": {name: [text(e) for e in extents] for name, extents in launch.packed.items()},
    }


def _cache(tile: Tile | None) -> dict[str, Any] | None:
    """The tile whose points follow one another in so many iterations."""
    return (
        None
        if tile is None or tile.iterations is None
        else {"macro": tile.macro, "iterations": text(tile.iterations)}
    )


def _rows(nest: Nest) -> bool:
    """Whether the nest runs over rows of a connection table, of which an entry may have none."""
    return any(isinstance(loop, TableLoop) for loop in nest.loops)


def _kernel(
    kernel: Kernel, tensors: Mapping[str, Tensor], modules: Mapping[str, OpenCLModule]
) -> dict[str, Any]:
    everything = {**tensors, kernel.output.name: kernel.output}
    record: dict[str, Any] = {
        "name": kernel.name,
        "role": kernel.role,
        "target": kernel.target,
        "arguments": list(arguments(kernel, tensors)),
        "output": kernel.output.name,
        "position": None if kernel.position is None else kernel.position.name,
        "finish": kernel.finish,
        "sizes": list(sizes(kernel, everything)),
        "relations": list(relations(kernel)),
        "work": text(_work(kernel)),
    }
    if kernel.position is not None and any(nest.conditions or _rows(nest) for nest in kernel.nests):
        record["cut"] = True
    launches = {layout: _launch(kernel, module.kernels[kernel.name]) for layout, module in modules.items()}
    return record | {"launches": launches}


def _constant(kernel: Kernel, launch: KernelText) -> dict[str, Any] | None:
    """Parameters by units, those with an entry for each output map apart; and how the maps lie in the
    launch.
    """
    found = launch.tiling.constant_parameters
    if found is None:
        return None
    record: dict[str, Any] = {
        "macro": found.macro,
        "whole": {name: text(e) for name, e in found.whole.items()},
    }
    if found.sliced:
        first = kernel.axes[0]
        tile = next((t.macro for t in launch.tiling.tiles if t.axis == first.name), "")
        record["sliced"] = {name: text(e) for name, e in found.sliced.items()}
        record |= {
            "split": found.slicing,
            "maps": text(first.extent),
            "tile": tile,
            "dimension": 2 if tile else 1,
        }
    return record


def _local(launch: KernelText) -> dict[str, Any] | None:
    """What a work group may copy: for how many iterations at most, and the numbers that each takes."""
    found = launch.tiling.local
    if found is None:
        return None
    macros = {t.axis: t.macro for t in launch.tiling.tiles}
    each = " + ".join(text(numbers(copy, macros)) for copy in found.copies)
    return {"macro": found.macro, "iterations": text(found.outer.extent), "each": each}


def _initial(derivation: Derivation, name: str) -> dict[str, Any]:
    rule = derivation.definition.initial[name]
    if isinstance(rule, int | float):
        return {"rule": "constant", "value": float(rule)}
    if rule == "normal":
        return {"rule": "normal"}
    count = fan_in(derivation.definition, name)
    if count is None:
        return {"rule": "constant", "value": 0.0}
    numerator, denominator = text(_plain(count.numerator)), text(_plain(count.denominator))
    return {"rule": "uniform", "fan_in": numerator if denominator == "1" else f"{numerator}//({denominator})"}


def _plain(e: sp.Expr) -> Any:
    return IntegerFreezer(frozenset(s.name for s in e.free_symbols), {})(e)


def _macros(modules: Mapping[str, OpenCLModule]) -> dict[str, Any]:
    return {"macros": {layout: list(module.macros) for layout, module in modules.items()}}


def layer_record(
    derivation: Derivation, modules: Mapping[str, OpenCLModule], made: Mapping[str, IntExpr]
) -> dict[str, Any]:
    """The manifest entry of one layer variant; ``made``: the sizes that passes made."""
    definition, freeze = derivation.definition, _freezer(derivation)
    records = [_size(info, freeze) for info in definition.sizes.values()]
    records += [
        {"name": name, "source": "derived", "value": text(value), "minimum": 0}
        for name, value in made.items()
    ]
    return (
        {
            "family": derivation.family.name,
            "options": dict(derivation.options),
            "choices": {k: list(v) for k, v in derivation.family.options.items()},
            "doc": derivation.family.doc,
            "digest": ir_digest(
                derivation.kernels, [dataclasses.astuple(s) for s in definition.sizes.values()]
            ),
            "sizes": records,
            "relations": {r.name: {"columns": dict(r.columns)} for r in definition.relations.values()},
            "input": definition.input.name,
            "output": "Z",
            "selects": selects(derivation.kernels, definition.input.name, "Z"),
            "parameters": [p.name for p in definition.parameters],
            "tensors": {name: _tensor(t) for name, t in derivation.tensors.items()},
            "initial": {p.name: _initial(derivation, p.name) for p in definition.parameters},
            "checks": [
                {"condition": f"{text(freeze(c.value))} >= 0", "message": shown(c.message)}
                for c in range_checks(definition)
            ],
            "kernels": [_kernel(k, derivation.tensors, modules) for k in derivation.kernels],
            "heads": {
                loss: {"tensor": h.tensor, "value": h.value, "delta": h.delta}
                for loss, h in derivation.heads.items()
            },
        }
        | _macros(modules)
        | _required(definition, freeze)
        | _called(definition.names)
        | _file(derivation.name)
    )


def _required(definition: Definition, freeze: IntegerFreezer) -> dict[str, Any]:
    """What the sizes of a network must meet, and why."""
    found = [
        {
            "condition": condition_text(freeze.condition(need.left, need.op, need.right)),
            "message": shown(need.reason),
        }
        for need in definition.requirements
    ]
    return {"requirements": found} if found else {}


def _called(names: Mapping[str, str]) -> dict[str, Any]:
    """What a user calls sizes, tensors and relations, where kernels have another name for them."""
    return {"names": dict(names)} if names else {}


def _file(name: str) -> dict[str, Any]:
    return {} if of_file(name) == name else {"file": of_file(name)}


def loss_record(derived: LossDerivation, modules: Mapping[str, OpenCLModule]) -> dict[str, Any]:
    """The manifest entry of one loss."""
    loss = derived.loss
    return {
        "file": f"loss_{of_file(loss.name)}",
        "targets": list(loss.targets),
        "outputs": list(loss.outputs),
        "open": list(loss.open),
        "equation": str(loss.rho),
        "digest": ir_digest(derived.kernels),
        "tensors": {name: _tensor(t) for name, t in derived.tensors.items()},
        "kernels": [_kernel(k, derived.tensors, modules) for k in derived.kernels],
        "pairs": {
            a: {"value": f"value_{of_function(a)}", "delta": f"delta_{of_function(a)}"} for a in derived.pairs
        },
    } | _macros(modules)


def activation_record(activation: FrozenActivation) -> dict[str, Any]:
    """The manifest entry of one activation."""
    return {
        "derivative_in": activation.derivative_in,
        "range": list(activation.value_range),
        "increasing": activation.increasing,
        "digest": sha256(repr(activation.phi) + repr(activation.dphi)),
    } | ({} if (function := of_function(activation.name)) == activation.name else {"function": function})


def manifest_text(activations: Mapping[str, Any], losses: Mapping[str, Any], layers: Mapping[str, Any],
                  files: Mapping[str, str], definitions: Mapping[str, str]) -> str:  # fmt: skip
    """The whole manifest as deterministic JSON.

    ``files`` maps a path to its text, ``definitions`` that of a definition file to its digest.
    """
    data = {
        "version": VERSION,
        "sources": generator_digests(),
        "definitions": dict(sorted(definitions.items())),
        "files": {path: sha256(content) for path, content in sorted(files.items())},
        "activations": dict(activations),
        "losses": dict(losses),
        "layers": dict(sorted(layers.items())),
    }
    return _lines(data) + "\n"


def _lines(value: Any, depth: int = 0) -> str:
    """JSON with a record a line: what is short, or holds nothing but plain values, is not broken up."""
    flat = json.dumps(value)
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    plain = not any(isinstance(entry, dict | list) for entry in inner)
    if (depth and len(flat) <= LINE) or (depth > 1 and plain) or depth >= RECORD:
        return flat
    pad = "\n" + " " * (depth + 1)
    if isinstance(value, dict):
        body = f",{pad}".join(
            f"{json.dumps(key)}: {_lines(entry, depth + 1)}" for key, entry in value.items()
        )
        return f"{{{pad}{body}{pad[:-1]}}}"
    return f"[{pad}" + f",{pad}".join(_lines(entry, depth + 1) for entry in inner) + f"{pad[:-1]}]"
