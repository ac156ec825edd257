"""The line searches by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Protocol

from ...nearest import did_you_mean
from ..base.errors import OptionError
from .armijo import Armijo, Goldstein
from .brent import Brent
from .brent_derivative import BrentDerivative
from .golden import GoldenSection
from .ray import LineSearchResult, Ray
from .wolfe import StrongWolfe


class LineSearch(Protocol):
    """Chooses a step along a ray, starting from the guess alpha0; never returns None."""

    def __call__(self, ray: Ray, alpha0: float = 1.0) -> LineSearchResult:
        """The step and the reason it was chosen."""
        ...


LINE_SEARCHES: dict[str, Callable[[], Any]] = {
    "strong-wolfe": StrongWolfe,
    "wolfe": lambda: StrongWolfe(strong=False),
    "armijo": Armijo,
    "goldstein": Goldstein,
    "golden": GoldenSection,
    "brent": Brent,
    "dbrent": BrentDerivative,
}


def make_line_search(choice: str | LineSearch, **options: Any) -> LineSearch:
    """A line search from its name, or the search itself.

    ``options``: such as c1, c2 and xtol, where it has them.
    """
    if not isinstance(choice, str):
        if not callable(choice):
            raise OptionError(f"line_search: expected a name or a search, got {type(choice).__name__}")
        return choice
    if choice not in LINE_SEARCHES:
        raise OptionError(
            f"line_search: expected one of {', '.join(LINE_SEARCHES)}, got {choice!r}"
            f"{did_you_mean(choice, LINE_SEARCHES)}"
        )
    search = LINE_SEARCHES[choice]()
    known = {f.name for f in fields(search)}
    unknown = sorted(set(options) - known)
    if unknown:
        raise OptionError(
            f"line_search {choice}: expected options among {', '.join(sorted(known))}, got {unknown[0]}"
        )
    try:
        result: LineSearch = replace(search, **options)
    except (TypeError, ValueError) as error:  # compared with a number, and none
        raise OptionError(
            f"line_search {choice}: an option is of another type than it should be: {error}"
        ) from None
    return result
