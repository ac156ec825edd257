"""Manifests read from generated folders, each verified against its digests, and combined."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ..errors import ManifestError
from ..files import as_path, read_regular
from ..schema.check import decoded
from .folder import Folder
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
    root = as_path(path, "folder of kernels")
    where = root / "manifest.json"
    from .reading import manifest_file, parse  # the library that checks comes with the first folder

    try:
        data = decoded(read_regular(where), str(where), ManifestError)
    except OSError as error:
        raise ManifestError(
            f"{where}: cannot be read ({error.strerror}); run: phiz generate --out {root}"
        ) from None
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        raise ManifestError(
            f"{where}: version {version!r}, this phiz reads version {VERSION}; run: phiz generate"
        )
    file = manifest_file(data, str(where))
    for name in file.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ManifestError(f"{where}: file {name!r} lies outside the folder; run: phiz generate")
    known = {name: record.digest for name, record in file.activations.items()}
    folder = Folder(root, file.files, known, file.definitions)
    manifest = parse(file, folder)
    folder.verify()
    return manifest


@lru_cache(maxsize=1)
def builtin() -> Manifest:
    """The manifest of the kernels that come with the package (verified once per process)."""
    return load_folder(builtin_path())


def load_manifest(folders: Iterable[PathLike] = (), builtin_too: bool = True) -> Manifest:
    """The built-in manifest with the users' ``folders`` on top, later ones over earlier ones.

    ``builtin_too=False`` leaves the built-in kernels out.  Raises ManifestError.
    """
    manifest = builtin() if builtin_too else Manifest({}, {}, {})
    for folder in _listed(folders):
        manifest = load_folder(folder).over(manifest)
    return manifest


def _listed(folders: Iterable[PathLike]) -> list[PathLike]:
    """Paths, of which one alone is a list of one."""
    if isinstance(folders, str | os.PathLike):
        return [folders]
    try:
        return list(folders)
    except TypeError:
        raise ManifestError(
            f"manifests: expected paths of generated folders, got {type(folders).__name__}"
        ) from None
