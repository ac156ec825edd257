"""A generated folder on disk, whose files are verified against their digests."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from ..errors import ManifestError
from ..files import read_regular

#: The line that includes a file of the same folder.
INCLUDE = re.compile(r'^#include "([\w.]+)".*$', re.MULTILINE)


class Folder:
    """One generated folder.  A file is handed out only with the digest that the manifest has for it.

    ``activations``: digests of those that its losses have kernels for.
    ``definitions``: paths, from the folder, of the definition files that it was generated from.
    """

    def __init__(
        self,
        path: Path,
        digests: Mapping[str, str],
        activations: Mapping[str, str] | None = None,
        definitions: Iterable[str] = (),
    ) -> None:
        self.path = path
        self.digests = dict(digests)
        self.activations = dict(activations or {})
        self.definitions = tuple(definitions)
        self._modules: dict[str, ModuleType] = {}

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"

    def __contains__(self, name: str) -> bool:
        return name in self.digests

    def read(self, name: str) -> bytes:
        """The bytes of file ``name`` (``"opencl/dense.cl"``); ManifestError where it is missing or was
        edited.
        """
        path = self.path / name
        if name not in self.digests:
            raise ManifestError(f"{path}: not listed in the manifest; run: phiz generate")
        try:
            content = read_regular(path)
        except OSError as error:
            raise ManifestError(f"{path}: cannot be read ({error.strerror}); run: phiz generate") from None
        if hashlib.sha256(content).hexdigest() != self.digests[name]:
            raise ManifestError(f"{path}: was edited after it was generated; run: phiz generate")
        return content

    def text(self, name: str) -> str:
        """``read``, decoded."""
        return self.read(name).decode()

    def source(self, name: str, instead: Mapping[str, str] | None = None) -> str:
        """The OpenCL text of file ``name`` with the files that it includes, which lie beside it.

        ``instead``: other texts of those files, by their names.
        """
        beside, others = name.rpartition("/")[0], instead or {}

        def included(found: re.Match[str]) -> str:
            return others[found[1]] if found[1] in others else self.text(f"{beside}/{found[1]}")

        return INCLUDE.sub(included, self.text(name))

    def verify(self) -> None:
        """Check every file; ManifestError names the first that fails."""
        for name in self.digests:
            self.read(name)

    def module(self, name: str) -> ModuleType:
        """The Python module in file ``name``, imported from the bytes that were verified (no stale
        bytecode).
        """
        if name not in self._modules:
            source = self.read(name)
            path = self.path / name
            spec = importlib.util.spec_from_file_location(f"phiz_generated_{path.stem}", path)
            if spec is None:
                raise ManifestError(f"{path}: cannot be imported; run: phiz generate")
            module = importlib.util.module_from_spec(spec)
            exec(compile(source, str(path), "exec"), module.__dict__)
            self._modules[name] = module
        return self._modules[name]
