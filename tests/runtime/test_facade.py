"""``phiz.runtime`` names what most programs need, and imports nothing before it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import phiz.runtime as facade
import pytest


@pytest.mark.parametrize("name", facade.__all__)
def test_every_name_is_the_object_of_its_module(name: str) -> None:
    module = import_module(f"phiz.runtime.{facade._MODULES[name]}")
    assert getattr(facade, name) is getattr(module, name)
    assert name in dir(facade)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(str(facade.__file__)).read_text(encoding="utf-8"))
    seen: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            seen |= {alias.name: str(node.module) for alias in node.names}
    assert seen == facade._MODULES
    assert sorted(seen) == sorted(facade.__all__)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such'"):
        facade.no_such  # noqa: B018
    with pytest.raises(ImportError):
        from phiz.runtime import no_such  # noqa: F401


def test_importing_the_package_loads_nothing_else() -> None:
    program = """
import sys, phiz.runtime
assert not [m for m in sys.modules if m.startswith("phiz.runtime.")]
from phiz.runtime import Network, layer, minimize
loaded = [m for m in ("sympy", "mako", "phiz.derive", "phiz.codegen") if m in sys.modules]
assert not loaded, loaded
assert callable(layer) and callable(minimize)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
