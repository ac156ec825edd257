"""The committed folder was generated from the files that are committed beside it.

Whoever edits or merges ``derive/`` or ``codegen/`` runs ``phiz generate``; a manifest that a merge left torn
is written anew.
"""

from __future__ import annotations

import json

from phiz.codegen.sources import generator_digests

from tests.house.source import ROOT


def test_the_manifest_knows_the_files_that_it_was_generated_from() -> None:
    recorded = json.loads((ROOT / "generated" / "manifest.json").read_text(encoding="utf-8"))["sources"]
    now = generator_digests(ROOT)
    assert len(now) > 90 and any(name.endswith(".mako") for name in now)
    changed = sorted(name for name in {**recorded, **now} if recorded.get(name) != now.get(name))
    assert not changed, f"run: phiz generate, and commit generated/: {changed}"
