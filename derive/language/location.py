"""Where in a definition file an error arose: the innermost line of that file that was running."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from traceback import walk_tb
from typing import Any


def location(error: BaseException, file: str, otherwise: int = 0) -> str:
    """``my.py:12`` for the line of ``file`` at which ``error`` arose.

    The line is ``otherwise`` where none of the file ran; only the file is named where that is 0.
    """
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines = [error.lineno or 0]
    line = lines[-1] if lines else otherwise
    return f"{_short(file)}:{line}" if line else _short(file)


def of_function(error: BaseException, function: Callable[..., Any]) -> str:
    """``location`` in the file of ``function``, whose first line stands for all that it calls."""
    code = function.__code__
    return location(error, code.co_filename, code.co_firstlineno)


def _short(file: str) -> str:
    """A path from the current folder, where the file lies in it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
