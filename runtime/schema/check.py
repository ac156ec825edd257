"""Checks a value against a type, and says what is wrong in one line with the path of the place.

The library that checks, msgspec, is imported with the first check: importing phiz does not wait for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from ..errors import PhizError
from ..files import reason

T = TypeVar("T")
_PLACE = re.compile(r"^(?P<reason>.*?)(?: - at (?:`key` in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[(\.\.\.)\]")
_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "a table",
    "str": "text",
}
#: Nested deeper than this is not looked into.
DEEPEST = 100
NAMED = re.compile(r"`([^`]*)`")


def checked(value: Any, kind: type[T], where: str, error: type[PhizError] = PhizError) -> T:
    """``value`` as a ``kind``, which msgspec knows: a struct, a dataclass, a built-in type, with limits.

    NumPy's numbers and arrays and paths count as numbers, lists and text.  Raises ``error`` that begins with
    ``where``.
    """
    try:
        return converted(plain(value), kind, where, error)
    except RecursionError as problem:
        raise error(f"{where}: {reason(problem)}") from None


def converted(value: Any, kind: type[T], where: str, error: type[PhizError] = PhizError) -> T:
    """The same of what JSON has already."""
    import msgspec

    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        raise error(f"{where}{told(_with_keys(value, kind, str(problem)))}") from None
    except (RecursionError, OverflowError, TypeError) as problem:  # of objects that look like tables
        raise error(f"{where}: {reason(problem)}") from None


def decoded(data: bytes, where: str, error: type[PhizError] = PhizError) -> Any:
    """JSON as Python values.  Raises ``error`` that begins with ``where``."""
    import msgspec

    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise error(f"{where}: not a JSON file ({reason(problem)})") from None


def plain(value: Any, depth: int = 0) -> Any:
    """The same with NumPy's numbers and arrays, tuples and paths as what JSON has.

    Raises RecursionError where it is nested too deeply.
    """
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping | list | tuple):
        if depth > DEEPEST:
            raise RecursionError(f"nested more than {DEEPEST} deep")
        if isinstance(value, Mapping):
            return {key: plain(entry, depth + 1) for key, entry in value.items()}
        return [plain(entry, depth + 1) for entry in value]
    return value


def _with_keys(value: Any, kind: Any, message: str) -> str:
    """The message with the keys of tables in its path, where msgspec writes ``[...]``.

    The entry is the one that, alone in its table, is wrong in the same way.
    """
    found = _PLACE.match(message)
    path = (found["path"] or "") if found else ""
    if not isinstance(value, Mapping | list):
        return message
    known: list[Any] = []
    for name, number, _ in _STEP.findall(path):
        if name or number:
            known.append(name or int(number))
            continue
        key = _wrong_key(value, known, kind, message)
        if key is None:
            return message
        value = _narrowed(value, known, key)
        known.append(key)
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in known)
    return message if path == shown else message.replace(f"`${path}`", f"`${shown}`")


def _wrong_key(value: Any, steps: list[Any], kind: Any, message: str) -> Any:
    """The key of the table at ``steps`` whose entry alone gives ``message``; None where none does."""
    table = value
    for step in steps:
        table = table[step]
    return next((key for key in table if _problem(_narrowed(value, steps, key), kind) == message), None)


def _narrowed(value: Any, steps: list[Any], key: Any) -> Any:
    """A copy of ``value`` in which the table that ``steps`` lead to has the entry ``key`` alone."""
    if not steps:
        return {key: value[key]}
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    copy[steps[0]] = _narrowed(value[steps[0]], steps[1:], key)
    return copy


def _problem(value: Any, kind: Any) -> str:
    """What msgspec says of a value; "" where it is right."""
    import msgspec

    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        return str(problem)
    return ""


def told(message: str) -> str:
    """What msgspec says, as ``: layers[0].maps: expected a whole number, got text``."""
    found = _PLACE.match(message)
    text, path = (found["reason"], found["path"] or "") if found else (message, "")
    text = text.replace("Object contains unknown field", "unknown entry")
    text = text.replace("Object missing required field", "missing entry")
    text = NAMED.sub(lambda name: _spoken(name[1]) if text.startswith("Expected") else repr(name[1]), text)
    place = f": {path.removeprefix('.')}" if path else ""
    return f"{place}: {text[:1].lower()}{text[1:]}"


def _spoken(kinds: str) -> str:
    """``int | null`` in words."""
    *first, last = [_WORDS.get(kind, kind) for kind in kinds.split(" | ")]
    return f"{', '.join(first)} or {last}" if first else last
