"""Generated folders on disk: read, verified against their digests, and combined."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ManifestError
from ..files import read_regular
from .reading import parse
from .records import VERSION, Manifest

#: The line that includes a file of the same folder.
INCLUDE = re.compile(r'^#include "([\w.]+)".*$', re.MULTILINE)

PathLike = str | os.PathLike[str]


class Folder:
    """One generated folder.  A file is handed out only with the digest that the manifest has for it.

    ``activations``: digests of those that its kernels were generated with.
    """

    def __init__(self, path: Path, digests: Mapping[str, str], activations: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.digests = dict(digests)
        self.activations = dict(activations or {})
        self._modules: dict[str, ModuleType] = {}

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"

    def __contains__(self, name: str) -> bool:
        return name in self.digests

    def read(self, name: str) -> bytes:
        """The bytes of file ``name`` (``"opencl/dense.cl"``); ManifestError where it is missing or was edited."""
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

    def source(self, name: str) -> str:
        """The OpenCL text of file ``name`` with the files that it includes, which lie beside it."""
        beside = name.rpartition("/")[0]
        return INCLUDE.sub(lambda found: self.text(f"{beside}/{found[1]}"), self.text(name))

    def verify(self) -> None:
        """Check every file; ManifestError names the first that fails."""
        for name in self.digests:
            self.read(name)

    def module(self, name: str) -> ModuleType:
        """The Python module in file ``name``, imported from the bytes that were verified (no stale bytecode)."""
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


def builtin_path() -> Path:
    """The folder of the kernels that come with the package."""
    spec = importlib.util.find_spec("phiz.generated")
    locations = [] if spec is None else list(spec.submodule_search_locations or [])
    if not locations:
        raise ManifestError("the package phiz.generated is not installed; run: pip install phiz")
    return Path(locations[0])


def load_folder(path: PathLike) -> Manifest:
    """The manifest of one generated folder, all its files verified.

    Raises ManifestError naming the file: missing, not JSON, of another version, malformed, or a listed file that was edited.
    """
    root = Path(path)
    where = root / "manifest.json"
    try:
        data = json.loads(read_regular(where))
    except OSError as error:
        raise ManifestError(f"{where}: cannot be read ({error.strerror}); run: phiz generate --out {root}") from None
    except ValueError as error:
        raise ManifestError(f"{where}: not a JSON file ({error}); run: phiz generate") from None
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        raise ManifestError(f"{where}: version {version!r}, this phiz reads version {VERSION}; run: phiz generate")
    try:
        known = {name: str(record["digest"]) for name, record in data.get("activations", {}).items()}
        folder = Folder(root, _digests(data["files"]), known)
        manifest = parse(data, folder)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"{where}: malformed ({type(error).__name__}: {error}); run: phiz generate") from None
    folder.verify()
    return manifest


def _digests(files: Mapping[str, Any]) -> dict[str, str]:
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"file {name!r} lies outside the folder")
    return {str(name): str(digest) for name, digest in files.items()}


@lru_cache(maxsize=1)
def builtin() -> Manifest:
    """The manifest of the kernels that come with the package (verified once per process)."""
    return load_folder(builtin_path())


def load_manifest(folders: Iterable[PathLike] = (), builtin_too: bool = True) -> Manifest:
    """The built-in manifest with the users' ``folders`` on top, later ones over earlier ones.

    ``builtin_too=False`` leaves the built-in kernels out.  Raises ManifestError.
    """
    manifest = builtin() if builtin_too else Manifest({}, {}, {})
    for folder in folders:
        manifest = load_folder(folder).over(manifest)
    return manifest
