"""Manifests read from generated folders, each verified against its digests, and combined."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import ManifestError
from ..files import read_regular
from .folder import Folder
from .reading import parse
from .records import VERSION, Manifest

PathLike = str | os.PathLike[str]


def builtin_path() -> Path:
    """The folder of the kernels that come with the package."""
    spec = importlib.util.find_spec("phiz.generated")
    locations = [] if spec is None else list(spec.submodule_search_locations or [])
    if not locations:
        raise ManifestError("the package phiz.generated is not installed; run: pip install phiz")
    return Path(locations[0])


def load_folder(path: PathLike) -> Manifest:
    """The manifest of one generated folder, all its files verified.

    Raises ManifestError naming the file: missing, not JSON, of another version, malformed, or a listed file
    that was edited.
    """
    root = Path(path)
    where = root / "manifest.json"
    try:
        data = json.loads(read_regular(where))
    except OSError as error:
        raise ManifestError(
            f"{where}: cannot be read ({error.strerror}); run: phiz generate --out {root}"
        ) from None
    except ValueError as error:
        raise ManifestError(f"{where}: not a JSON file ({error}); run: phiz generate") from None
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        raise ManifestError(
            f"{where}: version {version!r}, this phiz reads version {VERSION}; run: phiz generate"
        )
    try:
        known = {name: str(record["digest"]) for name, record in data.get("activations", {}).items()}
        folder = Folder(root, _digests(data["files"]), known, map(str, data.get("definitions", {})))
        manifest = parse(data, folder)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(
            f"{where}: malformed ({type(error).__name__}: {error}); run: phiz generate"
        ) from None
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
