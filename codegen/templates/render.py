"""Rendering of the Mako templates."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mako.lookup import TemplateLookup


@cache
def _lookup() -> TemplateLookup:
    folder = Path(__file__).parent
    return TemplateLookup(directories=[str(folder)], strict_undefined=True, input_encoding="utf-8")


def render(template: str, **values: object) -> str:
    """The text of ``template`` (a path below ``templates/``); raises NameError for a value that it lacks."""
    return str(_lookup().get_template(template).render(**values))
