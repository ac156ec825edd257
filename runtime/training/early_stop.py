"""When to stop training: the best measure so far, and how long ago it was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CheckpointError, PhizError


@dataclass
class EarlyStop:
    """Counts the epochs since the measure (validation loss, or training loss) last fell below its best.

    patience: epochs without a new best after which ``exhausted`` holds; None never.  The measure must be
    finite.
    """

    patience: int | None = None
    best: float = math.inf
    best_epoch: int = 0
    waited: int = 0

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 1:
            raise PhizError(f"patience: expected at least 1 epoch, got {self.patience}")

    def update(self, measure: float, epoch: int) -> bool:
        """Take the measure of ``epoch`` in; True when it is the new best, whose parameters are to be kept."""
        if measure < self.best:
            self.best, self.best_epoch, self.waited = measure, epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def exhausted(self) -> bool:
        """True when patience has run out."""
        return self.patience is not None and self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        """JSON-able; read back by ``restore``."""
        best = self.best if math.isfinite(self.best) else None
        return {"best": best, "best_epoch": self.best_epoch, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state``.  Raises: CheckpointError where it is malformed."""
        try:
            best = state["best"]
            self.best = math.inf if best is None else float(best)
            self.best_epoch, self.waited = int(state["best_epoch"]), int(state["waited"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"early stop: the saved state is malformed ({type(error).__name__}: {error})"
            ) from None
