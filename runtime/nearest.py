"""The name that somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def did_you_mean(given: object, known: Iterable[str], related: Mapping[str, str] | None = None) -> str:
    """``; did you mean lbfgs?``, to end a message with; "" where no known name is near.

    ``related``: known names by others that are not near in spelling.
    """
    from difflib import get_close_matches

    name, others = str(given)[:100].lower(), related or {}
    near = [others[name]] if name in others else get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
