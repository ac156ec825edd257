"""What is written replaces regular files alone: devices, pipes and sockets stay what they are."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.codegen.folder import write
from phiz.runtime.errors import PhizError
from phiz.runtime.files import write_atomically
from phiz.runtime.optimize.error_curve import ErrorCurve
from phiz.runtime.optimize.state import save_state

WRITERS: dict[str, Callable[[Path], Any]] = {
    "write_atomically": lambda path: write_atomically(path, b"data"),
    "save_state": lambda path: save_state(path, {"x": 1}),
    "error_curve": lambda path: ErrorCurve(np.zeros(2), np.zeros(2), np.zeros(2), 1.0).save_csv(path),
    "generated": lambda path: write(path.parent, {path.name: "data"}),
}


def bound(path: Path) -> None:
    """A socket at ``path``."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, stat.S_IFIFO), (bound, stat.S_IFSOCK)])
def test_what_is_no_regular_file_stays(
    make: Callable[[Path], None], kind: int, writer: str, tmp_path: Path
) -> None:
    make(tmp_path / "there")
    with pytest.raises((PhizError, OSError), match="not a regular file"):
        WRITERS[writer](tmp_path / "there")
    assert stat.S_IFMT((tmp_path / "there").stat().st_mode) == kind
    assert [path.name for path in tmp_path.iterdir()] == ["there"], "no temporary file stays"


def test_a_device_stays() -> None:
    """A terminal of the test's own: whoever runs this, nothing of the machine is at risk."""
    own, other = os.openpty()
    terminal = Path(os.ttyname(other))
    try:
        with pytest.raises(PhizError, match="a character device, not a regular file"):
            write_atomically(terminal, b"data")
        assert stat.S_ISCHR(terminal.stat().st_mode)
    finally:
        os.close(own)
        os.close(other)


def test_files_and_links_to_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "file").read_bytes() == b"new" and (tmp_path / "link").is_symlink()
    with pytest.raises(PhizError, match="cannot be written"):
        write_atomically("/", b"data")
