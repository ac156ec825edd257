"""Tests neither see nor change what the user tuned."""

from __future__ import annotations

import os
import tempfile

_FOLDER = tempfile.TemporaryDirectory(prefix="phiz_tests_")
os.environ["PHIZ_CACHE"] = _FOLDER.name
