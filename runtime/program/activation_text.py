"""The OpenCL text of the activations that a layer applies, each from the folder that defines it.

Kernels call phi and phi' by the names that macros give, so a layer of one folder goes with an activation of
another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import ManifestError
from ..manifest.folder import Folder

FILE = "activations.cl"
_BLOCK = re.compile(r"^(?=static )", re.MULTILINE)
_NAME = re.compile(r"static [\w ]+ (\w+)\(")


def activation_text(form: str, wanted: Sequence[tuple[Folder, str]]) -> str:
    """The functions ``wanted``, by folder and name, with those that they may call.

    ``form``: the folder of the kernels' form.  Raises ManifestError where a folder has no such function.
    """
    found: dict[str, str] = {}
    for folder, function in wanted:
        head, *blocks = _BLOCK.split(folder.text(f"{form}/{FILE}"))
        named = {(match[1] if (match := _NAME.match(block)) else block): block for block in blocks}
        if function not in named:
            raise ManifestError(f"{folder.path / form / FILE}: has no {function}; run: phiz generate")
        found.setdefault("", head)
        for name, block in named.items():
            if name == function or not name.startswith(("phi_", "dphi_")):
                found.setdefault(name, block)
    return "".join(found.values())
