"""What is known of one kernel at its sizes on one device, and its JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..plan.config import DEFAULT, KernelConfig

#: A configuration is chosen only where it takes at most this share of the default's time.
ENOUGH = 0.95

#: Why a candidate was refused: it does not fit the kernel or the device; its text did not compile; it could
#: not be run; its numbers are not the reference's; it took its process along.
REFUSALS = ("invalid", "compile", "failed", "wrong", "crashed")


@dataclass(frozen=True)
class Trialled:
    """One candidate: ``seconds`` a launch and ``ratio`` to the default in the same alternation, or why
    it was refused.
    """

    config: KernelConfig
    seconds: float = 0.0
    ratio: float = 0.0
    refused: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Entry:
    """One kernel: the configuration to use, what it and the default take (seconds a launch), and every
    candidate tried.

    ``kernel`` and ``place`` say what was measured and where (``identity``).  ``config`` is the default where
    no candidate takes at most ``ENOUGH`` of its time.  ``complete``: there is nothing left to try.
    """

    kernel: Mapping[str, Any]
    place: Mapping[str, Any]
    config: KernelConfig
    default_seconds: float
    seconds: float
    trials: tuple[Trialled, ...]
    complete: bool

    @property
    def ratio(self) -> float:
        """Time of the configuration to that of the default."""
        return self.seconds / self.default_seconds if self.default_seconds > 0 else 1.0

    @property
    def refused(self) -> tuple[Trialled, ...]:
        """The candidates that were refused."""
        return tuple(trial for trial in self.trials if trial.refused)

    def merged(self, other: Entry) -> Entry:
        """Both searches of the same kernel: every candidate once, and the better choice."""
        best = min(self, other, key=lambda entry: entry.ratio)
        tried = {canonical(trial.config): trial for trial in (*other.trials, *self.trials)}
        return Entry(
            best.kernel,
            best.place,
            best.config,
            best.default_seconds,
            best.seconds,
            tuple(tried.values()),
            self.complete or other.complete,
        )


# ------------------------------------------------------------------------------------------------------- JSON
#: The key of a choice in files where it has another name there.
KEYS = {"partial_sums": "parts", "reduction_group": "team", "loop_split": "split"}
_KEYS = {item.name: KEYS.get(item.name, item.name) for item in fields(KernelConfig)}


def config_record(config: KernelConfig) -> dict[str, Any]:
    """JSON form of a configuration; what has its default is left out."""
    record: dict[str, Any] = {}
    for item in fields(KernelConfig):
        value = getattr(config, item.name)
        if value != getattr(DEFAULT, item.name):
            record[_KEYS[item.name]] = _plain(value)
    return record


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value


def config_from(record: Mapping[str, Any]) -> KernelConfig:
    """What ``config_record`` wrote; ValueError or TypeError where it is none."""
    names = {key: name for name, key in _KEYS.items()}
    if not set(record) <= set(names):
        raise ValueError(f"a configuration has no {sorted(set(record) - set(names))[0]}")
    flags = {_KEYS[item.name] for item in fields(KernelConfig) if isinstance(item.default, bool)}
    values: dict[str, Any] = {
        names[key]: _flag(value) if key in flags else _frozen(value) for key, value in record.items()
    }
    return KernelConfig(**values)


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _number(entry) for key, entry in value.items()}
    return tuple(_number(entry) for entry in value) if isinstance(value, list) else _number(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a number of at least 0, got {value!r}")
    return value


def canonical(config: KernelConfig) -> str:
    """One text per configuration: what dictionaries are keyed by."""
    return json.dumps(config_record(config), sort_keys=True)


def entry_record(entry: Entry) -> dict[str, Any]:
    """JSON form of an entry; times in milliseconds."""
    return {
        "kernel": dict(entry.kernel),
        "place": dict(entry.place),
        "schedule": config_record(entry.config),
        "default_ms": round(entry.default_seconds * 1e3, 6),
        "ms": round(entry.seconds * 1e3, 6),
        "complete": entry.complete,
        "trials": [_trial_record(trial) for trial in entry.trials],
    }


def _trial_record(trial: Trialled) -> dict[str, Any]:
    found: dict[str, Any] = {"schedule": config_record(trial.config)}
    if trial.refused:
        return found | {"refused": trial.refused, "reason": trial.reason}
    return found | {"ms": round(trial.seconds * 1e3, 6), "ratio": round(trial.ratio, 4)}


def entry_from(record: Mapping[str, Any]) -> Entry:
    """What ``entry_record`` wrote; KeyError, TypeError, ValueError or AttributeError where it is
    malformed.
    """
    trials = []
    for trial in record["trials"]:
        config = config_from(trial["schedule"])
        if "refused" in trial:
            trials.append(Trialled(config, refused=str(trial["refused"]), reason=str(trial["reason"])))
        else:
            trials.append(Trialled(config, float(trial["ms"]) / 1e3, float(trial["ratio"])))
    return Entry(
        dict(record["kernel"].items()),
        dict(record["place"].items()),
        config_from(record["schedule"]),
        float(record["default_ms"]) / 1e3,
        float(record["ms"]) / 1e3,
        tuple(trials),
        bool(record["complete"]),
    )


def words(config: KernelConfig) -> str:
    """A configuration as a table shows it: ``i 4, j 3, width 8``; ``default`` where nothing is chosen."""
    short = [f"{macro.rsplit('_', 1)[-1]} {size}" for macro, size in config.tiles.items()]
    for item in fields(KernelConfig):
        value = getattr(config, item.name)
        if item.name != "tiles" and value != getattr(DEFAULT, item.name):
            text = "×".join(map(str, value)) if isinstance(value, tuple) else str(value)
            key = _KEYS[item.name]
            short.append(key if value is True else f"{key} {text}")
    return ", ".join(short) or "default"
