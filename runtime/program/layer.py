"""Layers as a user writes them, and as they become once the shape of their input is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from ..manifest.records import ActivationInfo, LayerInfo, Manifest
from ..nearest import did_you_mean
from ..schema.check import checked, plain
from .connections import ConnectionTable
from .initial import initial_values
from .shape import Alike, Shape
from .sizes import Extent, Sizes, depth, resolve


@dataclass(frozen=True)
class LayerSpec:
    """A layer before its input is known; ``to_dict`` and ``from_dict`` are its JSON form."""

    family: str
    activation: str = "linear"
    name: str | None = None
    connections: Any = None
    sharing: Any = None
    initial: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; what has its default is left out."""
        record: dict[str, Any] = {"layer": self.family, "activation": self.activation, **self.keywords}
        for key in ("name", "connections", "sharing"):
            if getattr(self, key) is not None:
                record[key] = getattr(self, key)
        if self.initial:
            record["initial"] = {name: dict(rule) for name, rule in self.initial.items()}
        return record

    def require_types(self, where: str) -> None:
        """Raise ShapeError for an entry of a type that no layer takes."""
        from ..schema.arguments import Keywords, LayerEntry

        known = ("activation", "name", "connections", "sharing", "initial")
        entries = {"layer": self.family, **{key: getattr(self, key) for key in known}}
        found = checked(entries, LayerEntry, where, ShapeError)
        checked(self.keywords, Keywords, f"{where} ({found.name or found.layer})", ShapeError)

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> LayerSpec:
        """What ``to_dict`` wrote; ShapeError where it names no layer."""
        entries = checked(record, dict[str, Any], "layer", ShapeError)
        if "layer" not in entries:
            raise ShapeError(f"layer record {entries!r} has no key 'layer'")
        if "family" in entries:
            raise ShapeError("layer record: unknown entry 'family', the family stands in 'layer'")
        return layer(entries["layer"], **{key: value for key, value in entries.items() if key != "layer"})


def layer(
    family: str,
    *,
    activation: str = "linear",
    name: str | None = None,
    connections: Any = None,
    sharing: Any = None,
    initial: Mapping[str, Mapping[str, Any]] | None = None,
    **keywords: Any,
) -> LayerSpec:
    """A layer of ``family``, e.g. ``layer("convolution", maps=6, kernel=5, stride=2, activation="tanh")``.

    ``keywords`` are the family's sizes (a number, a list with one number per coordinate, or a list of such
    lists with one per kernel id) and its options (``bias=False``).  ``connections`` and ``sharing``: as in
    ``connections.connection_table``.  ``initial`` replaces initialisation rules by parameter name: ``{"w":
    {"rule": "normal", "scale": 0.1}}``.  Everything is checked when the layer is put on an input, by
    ``instantiate``.
    """
    return LayerSpec(
        family,
        activation,
        name,
        _plain(connections),
        _plain(sharing),
        _plain({} if initial is None else initial),
        {key: _plain(value) for key, value in keywords.items()},
    )


def _plain(value: Any) -> Any:
    """Lists, mappings and Python numbers only, so that the specification is JSON-able."""
    try:
        return plain(value)
    except RecursionError as error:
        raise ShapeError(f"layer: a value is {error}") from None


@dataclass(frozen=True)
class Layer:
    """A layer on its input: every size, connection and tensor shape is known.

    ``input`` is the shape as this layer sees it (flattened for a layer of one axis), ``below`` as it comes.
    """

    index: int
    spec: LayerSpec
    info: LayerInfo
    activation: ActivationInfo
    below: Shape
    input: Shape
    output: Shape
    sizes: Mapping[str, Any]
    connection_tables: Mapping[str, ConnectionTable]
    tensors: Mapping[str, Extent]

    @property
    def label(self) -> str:
        """``layer 2 (pool)``, as error messages name it."""
        return label(self.index, self.spec)

    @property
    def linear(self) -> bool:
        """True where Y = Z, so that one buffer holds both."""
        return self.activation.name == "linear"

    @property
    def parameters(self) -> tuple[tuple[str, int], ...]:
        """Names and numbers of entries of the parameters, in the order in which they stand in the flat
        vector.
        """
        return tuple((name, self.tensors[name].units) for name in self.info.parameters)

    def initial(self, seed: int) -> npt.NDArray[np.float64]:
        """Initial values of all parameters of this layer, flat, float64."""
        parts = [np.zeros(0)]
        for number, name in enumerate(self.info.parameters):
            called = self.info.shown(name)
            rule = self.spec.initial.get(called, self.info.initial[name])
            key = (seed, self.index, number)
            parts.append(initial_values(self.label, called, rule, self.tensors[name], self.sizes, key))
        return np.concatenate(parts)


def label(index: int, spec: LayerSpec) -> str:
    """How messages name a layer."""
    return f"layer {index} ({spec.name or spec.family})"


def instantiate(manifest: Manifest, spec: LayerSpec, index: int, below: Shape) -> Layer:
    """Put ``spec`` on an input of shape ``below``.

    The variant follows from the rank of the input, from whether connections are listed, and from the options
    among the keywords.  Raises ShapeError naming the layer: unknown layer, activation or keyword, missing
    keyword, sizes or connections that do not fit.
    """
    if not isinstance(spec, LayerSpec):
        raise ShapeError(f"layer {index}: expected a layer, made by layer(...), got {type(spec).__name__}")
    spec.require_types(f"layer {index}")
    where = label(index, spec)
    try:
        variants = manifest.variants(spec.family)
        activation = manifest.activation(spec.activation)
    except ShapeError as error:
        raise ShapeError(f"{where}: {error}") from None
    connections, chosen = _connections(variants, spec, below)
    info = _variant(where, variants, spec, chosen, below)
    keywords = _keywords(where, info, spec)
    if not info.relations and (connections is not None or spec.sharing is not None):
        raise ShapeError(f"{where}: takes no connections")
    shape = below.flat() if info.flat else below
    if not shape.uniform and not info.tensors[info.input].ragged:
        raise ShapeError(f"{where}: takes maps of one size, the input is {below}")
    sizes = resolve(info, where, shape, keywords, connections, spec.sharing)
    _known_initial(where, info, spec)
    return Layer(
        index,
        spec,
        info,
        activation,
        below,
        shape,
        _output(where, info, sizes),
        sizes.values,
        sizes.connection_tables,
        sizes.tensors,
    )


def _connections(variants: Sequence[LayerInfo], spec: LayerSpec, below: Shape) -> tuple[Any, str | None]:
    """The connections to build a connection table from, and the value of the option "connections" where
    the family has one.
    """
    values = list(dict.fromkeys(v.options["connections"] for v in variants if "connections" in v.options))
    given = spec.connections
    if not values:
        return given, None
    listed = given is not None and not (isinstance(given, str) and given in values)
    if listed or spec.sharing is not None or ("table" in values and _irregular(spec, below)):
        whole = "one-to-one" if "own" in (given, values[0] if given is None else "") else "full"
        return (given if listed else whole), "table"
    return None, values[0] if given is None else given


def _irregular(spec: LayerSpec, below: Shape) -> bool:
    """Whether maps or kernels differ in size, so that only a table can say what is connected."""
    return not below.uniform or any(depth(value) > 1 for value in spec.keywords.values())


def _variant(
    where: str, variants: Sequence[LayerInfo], spec: LayerSpec, connections: str | None, below: Shape
) -> LayerInfo:
    fitting = _with_options(where, variants, spec, connections)
    ranked = [v for v in fitting if v.flat or _rank(v) == below.rank]
    if not ranked:
        ranks = " or ".join(map(str, sorted({_rank(v) for v in fitting})))
        raise ShapeError(
            f"{where}: takes maps with {ranks} coordinates, the input is {below} ({below.rank} coordinates)"
        )
    exact = [v for v in ranked if not v.flat or below.rank == 0]
    return (exact or ranked)[0]


def _rank(variant: LayerInfo) -> int:
    """Coordinates of the maps that ``variant`` takes."""
    return len(variant.tensors[variant.input].shape) - 1


def _asked_options(variants: Sequence[LayerInfo], spec: LayerSpec, connections: str | None) -> dict[str, Any]:
    """The options among the keywords, and that of ``connections``."""
    options = {key for v in variants for key in v.options}
    asked = {key: value for key, value in spec.keywords.items() if key in options}
    return asked if connections is None else {**asked, "connections": connections}


def _with_options(
    where: str, variants: Sequence[LayerInfo], spec: LayerSpec, connections: str | None
) -> list[LayerInfo]:  # fmt: skip
    """The variants that have every option which ``spec`` asks for."""
    asked = _asked_options(variants, spec, connections)
    for key, value in asked.items():
        known = list(dict.fromkeys(v.options[key] for v in variants if key in v.options))
        if value not in known:
            raise ShapeError(f"{where}: {key} = {value!r}, expected {' or '.join(repr(k) for k in known)}")
    fitting = [v for v in variants if all(v.options.get(key) == value for key, value in asked.items())]
    if not fitting:
        raise ShapeError(
            f"{where}: no variant has {', '.join(f'{k} = {v!r}' for k, v in asked.items())} together"
        )
    return fitting


def _keywords(where: str, info: LayerInfo, spec: LayerSpec) -> dict[str, Any]:
    """The keywords that are sizes; ``padding`` stands for both ``padding_low`` and ``padding_high``."""
    known = {size.keyword for size in info.sizes if size.keyword}
    keywords = {}
    for key, value in spec.keywords.items():
        if key in known:
            keywords[key] = value
        elif {f"{key}_low", f"{key}_high"} <= known:
            keywords.update({f"{key}_low": value, f"{key}_high": value})
        elif key not in info.options:
            raise ShapeError(
                f"{where}: unknown keyword {key!r}, known are {', '.join(_all_keywords(info, known))}"
                f"{did_you_mean(key, _all_keywords(info, known))}"
            )
    return keywords


def _all_keywords(info: LayerInfo, known: set[str]) -> list[str]:
    both = {key[: -len("_low")] for key in known if key.endswith("_low")}
    relation = {"connections", "sharing"} if info.relations else set()
    return sorted(known | both | set(info.options) | relation | {"activation", "initial", "name"})


def _known_initial(where: str, info: LayerInfo, spec: LayerSpec) -> None:
    parameters = [info.shown(name) for name in info.parameters]
    for name in spec.initial:
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise ShapeError(f"{where}: initial value for unknown parameter {name!r}, known are {known}")


def _output(where: str, info: LayerInfo, sizes: Sizes) -> Shape:
    extent = sizes.tensors[info.output]
    maps = extent.entries if extent.entries is not None else Alike(extent.shape[0], extent.shape[1:])
    if not extent.units:
        raise ShapeError(f"{where}: the output is empty ({'×'.join(map(str, extent.shape))})")
    return Shape(maps)
