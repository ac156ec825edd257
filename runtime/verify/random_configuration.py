"""Random legal configurations of any layer: sizes, options left to their defaults, connections, ragged maps.

The ranges come from the manifest, the law from the layer's own checks: what they refuse is drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import PhizError, ShapeError
from ..manifest.records import LayerInfo, Manifest, SizeInfo
from ..program.layer import Layer, LayerSpec, instantiate, layer
from ..program.shape import Shape

DRAWS = 3000
#: Entries of input and parameters together, and of the output, of a configuration that is checked entry by
#: entry.
MOST_ENTRIES = 200


@dataclass(frozen=True)
class Configuration:
    """A layer on an input shape, between two activations, with a number of samples."""

    layer: Layer
    spec: LayerSpec
    shape: Shape
    lower: str
    samples: int

    def __str__(self) -> str:
        """One line: enough to build the layer again."""
        given = {
            key: value for key, value in self.spec.to_dict().items() if key not in ("layer", "activation")
        }
        words = [f"{key} {_short(value)}" for key, value in given.items()]
        around = f"{self.spec.activation} above {self.lower}"
        return ", ".join(
            [f"input {self.shape}", *words, around, f"{self.samples} sample{'s' if self.samples > 1 else ''}"]
        )


def _short(value: Any) -> str:
    return str(value).replace("'", "").replace(" ", "")


def random_configuration(
    manifest: Manifest, info: LayerInfo, activation: str, lower: str, generator: np.random.Generator
) -> Configuration:
    """A legal configuration of variant ``info``.  PhizError where none is found."""
    refused = ""
    for attempt in range(DRAWS):
        most = MOST_ENTRIES * (1 if attempt < DRAWS // 2 else 10)
        try:
            spec, shape = _draw(info, activation, generator)
            found = instantiate(manifest, spec, 0, shape)
        except ShapeError as error:
            refused = str(error)
            continue
        parameters = sum(units for _, units in found.parameters)
        if max(found.input.units + parameters, found.output.units) <= most:
            return Configuration(found, spec, shape, lower, int(generator.integers(1, 12)))
    raise PhizError(
        f"layer {info.name}: no legal configuration among {DRAWS} random ones; the last was refused: "
        f"{refused}"
    )


def _draw(info: LayerInfo, activation: str, generator: np.random.Generator) -> tuple[LayerSpec, Shape]:
    shape = _shape(info, generator)
    keywords, counts = _keywords(info, generator, None)
    if info.flat and generator.random() < 0.2 and shape.count % 2 == 0:
        shape = Shape(((2,),) * (shape.count // 2))  # maps that the layer flattens
    counts |= {
        size.name: _count(info, shape) for size in info.sizes if size.source == "input" and size.axis == 0
    }
    connections, sharing, ids = _connections(info, counts, generator)
    tables, _ = _keywords(info, generator, {**counts, **ids})
    spec = layer(
        info.name,
        activation=activation,
        connections=connections or None,
        sharing=sharing or None,
        **keywords,
        **tables,
    )
    return spec, shape


def _count(info: LayerInfo, shape: Shape) -> int:
    return shape.units if info.flat else shape.count


def _between(size: SizeInfo, generator: np.random.Generator) -> int:
    least = 1 if size.minimum is None else size.minimum
    low, high = size.random if size.random is not None else (least, least + 3)
    return int(generator.integers(low, high + 1))


def _shape(info: LayerInfo, generator: np.random.Generator) -> Shape:
    axes = sorted((size for size in info.sizes if size.source == "input"), key=lambda size: size.axis)
    count = _between(axes[0], generator) if axes and axes[0].axis == 0 else 1
    coordinates = [size for size in axes if size.axis]
    alike = tuple(_between(size, generator) for size in coordinates)
    if not info.tensors[info.input].ragged or generator.random() < 0.4:
        return Shape((alike,) * count)
    return Shape(tuple(tuple(_between(size, generator) for size in coordinates) for _ in range(count)))


def _keywords(
    info: LayerInfo, generator: np.random.Generator, counts: Mapping[str, int] | None
) -> tuple[dict[str, Any], dict[str, int]]:
    """Values of the keywords, and of the sizes that they set.

    These are the keywords without a table, or (given ``counts``) those with one.
    """
    by_keyword: dict[str, list[SizeInfo]] = {}
    for size in info.sizes:
        if size.source == "keyword" and (size.table is not None) == (counts is not None):
            by_keyword.setdefault(size.keyword, []).append(size)
    keywords: dict[str, Any] = {}
    values: dict[str, int] = {}
    for keyword, sizes in by_keyword.items():
        if all(size.default is not None for size in sizes) and generator.random() < 0.25:
            continue
        table = sizes[0].table
        if counts is not None and table in counts and generator.random() < 0.7:
            keywords[keyword] = [_entries(sizes, generator)[0] for _ in range(counts[str(table)])]
            continue
        keywords[keyword], drawn = _entries(sizes, generator)
        values |= drawn
    return keywords, values


def _entries(sizes: list[SizeInfo], generator: np.random.Generator) -> tuple[Any, dict[str, int]]:
    drawn = {size.name: _between(size, generator) for size in sizes}
    return (list(drawn.values()) if sizes[0].entry is not None else drawn[sizes[0].name]), drawn


def _connections(
    info: LayerInfo, counts: Mapping[str, int], generator: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any], dict[str, int]]:
    """Connections and sharing by connection table, and how many parameter ids each has."""
    connections: dict[str, Any] = {}
    sharing: dict[str, Any] = {}
    ids: dict[str, int] = {}
    for name, columns in info.relations.items():
        known = {column: counts[size] for column, size in columns.items() if size in counts}
        free = [column for column in columns if column not in known]
        rows = _rows(known, generator)
        if len(known) < 2 or rows is None:
            connections[name] = "full"
            continue
        outputs, count = next(iter(rows.values())), len(next(iter(rows.values())))
        if free and generator.random() < 0.35:
            sharing[name] = str(generator.choice(["pair", "map"]))
            ids |= {
                columns[c]: count if sharing[name] == "pair" else max(outputs, default=-1) + 1 for c in free
            }
        else:
            for column in free:
                rows[column] = generator.integers(0, max(1, count), count).tolist()
                ids[columns[column]] = max(rows[column], default=-1) + 1
        connections[name] = rows
    return connections, sharing, ids


def _rows(known: Mapping[str, int], generator: np.random.Generator) -> dict[str, list[int]] | None:
    """Columns of known sizes, rows in no order; some entries without any row.

    None where a column admits no entry.
    """
    if not known or min(known.values()) < 1:
        return None
    most = int(np.prod(list(known.values())))
    kind = generator.random()
    density = 1.0 if kind < 0.15 else generator.uniform(0.2, 0.9)
    grid = np.stack(
        np.meshgrid(*[np.arange(size) for size in known.values()], indexing="ij"), axis=-1
    ).reshape(most, -1)
    chosen = grid[generator.random(most) < density]
    if kind > 0.85 and len(chosen):
        chosen = np.concatenate(
            [chosen, chosen[generator.integers(0, len(chosen), 1)]]
        )  # a connection given twice
    if kind > 0.3:
        chosen = chosen[generator.permutation(len(chosen))]
    return {column: chosen[:, number].tolist() for number, column in enumerate(known)}
