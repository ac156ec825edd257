"""``phiz doctor``: what the machine has and lacks."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from .options import add_json

SUMMARY = "look for what phiz needs on this machine"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``phiz doctor``."""
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints what was found; the exit status is 1 if something is missing, else 0."""
    from ..runtime.doctor import examine

    findings = examine()
    well = all(finding.well for finding in findings)
    if arguments.json:
        print(json.dumps({"well": well, "findings": [asdict(finding) for finding in findings]}, indent=1))
        return 0 if well else 1
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        mark, text = ("ok  ", finding.detail) if finding.well else ("FAIL", finding.fault)
        print(f"{mark} {finding.subject:{width}}  {text}")
    return 0 if well else 1
