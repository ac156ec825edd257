"""What random definitions came to, one line each, so that a run goes on where the last one stopped."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

#: What a definition came to; where it was begun and nothing follows, the process ended.
AGREES, REFUSED, DIFFERS, BEGUN = "agrees", "refused", "differs", "begun"


@dataclass(frozen=True)
class FuzzOutcome:
    """One line of a journal."""

    number: int
    outcome: str
    problems: tuple[str, ...] = ()


class Journal:
    """What was tried before, one line a definition; a run with the same seed goes on after the last one.

    Definitions that differed are tried again, because what was wrong may have been mended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[int, FuzzOutcome] = {}
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        self.gap = "" if text.endswith("\n") or not text else "\n"
        if text:
            for line in text.splitlines():
                with suppress(ValueError):  # the last line of a run that was killed
                    record = json.loads(line)
                    self.found[record["number"]] = FuzzOutcome(
                        **{**record, "problems": tuple(record["problems"])}
                    )

    def pending(self, count: int) -> list[int]:
        """The numbers below ``count`` that are to be tried."""
        done = {n for n, outcome in self.found.items() if outcome.outcome in (AGREES, REFUSED)}
        return [n for n in range(count) if n not in done]

    def begin(self, number: int) -> None:
        """Note that a definition is tried, and whether the process ended the last time it was."""
        known = self.found.get(number)
        again = known is not None and known.outcome == BEGUN
        self.add(FuzzOutcome(number, BEGUN, ("again",) if again else ()))

    def ended_twice(self, number: int) -> bool:
        """True where the process ended on a definition and, tried again, once more: it is no interruption."""
        return self.found.get(number) == FuzzOutcome(number, BEGUN, ("again",))

    def add(self, outcome: FuzzOutcome) -> None:
        """Write one line at once."""
        self.found[outcome.number] = outcome
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(self.gap + json.dumps(asdict(outcome)) + "\n")
        self.gap = ""

    def counts(self, count: int) -> dict[str, int]:
        """How many of the first ``count`` definitions came to what."""
        outcomes = [self.found[n].outcome for n in range(count) if n in self.found]
        return {kind: outcomes.count(kind) for kind in (AGREES, REFUSED, DIFFERS, BEGUN)}
