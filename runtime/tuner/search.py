"""The order in which candidates are tried.

They come by predicted cost, then one tunable at a time, until nothing is left or time is up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..opencl.plan.config import DEFAULT, KernelConfig
from ..opencl.tuned.record import Trialled, canonical
from .space.space import Space

#: Tilings that are tried by their predicted cost alone, before the search goes on from the best of them.
FIRST = 10
#: As many more are tried where the search has come to its end.
MORE = 20
#: A neighbour becomes the new best where it is this much faster.
BETTER = 0.98

Judge = Callable[[KernelConfig, float], Trialled]


@dataclass
class Search:
    """The candidates of one kernel.

    ``judge(config, best ratio)`` tries one; ``known``: what was tried before, by ``canonical``, and is not
    tried again. ``proceed()`` is asked before every trial; once False, the search is not ``complete``.
    """

    space: Space
    judge: Judge
    proceed: Callable[[], bool] = lambda: True
    known: dict[str, Trialled] = field(default_factory=dict)
    complete: bool = False
    _stopped: bool = False

    @property
    def trials(self) -> tuple[Trialled, ...]:
        """All that was tried, in order."""
        return tuple(self.known.values())

    @property
    def best(self) -> Trialled:
        """The fastest that was not refused, the default among them."""
        timed = [trial for trial in self.known.values() if not trial.refused]
        return min(timed, key=lambda trial: trial.ratio, default=Trialled(DEFAULT, ratio=1.0))

    def run(self) -> Iterator[Trialled]:
        """Every candidate that is tried now, as it was judged."""
        default = self.space.config({})
        tilings = [config for config in self.space.tilings() if canonical(config) != canonical(default)]
        for part in (tilings[:FIRST], tilings[FIRST : FIRST + MORE]):
            for config in part:
                yield from self._try(config)
                if self._stopped:
                    return
            yield from self._descend(default)
            if self._stopped:
                return
        self.complete = True

    def _try(self, config: KernelConfig) -> Iterator[Trialled]:
        name = canonical(config)
        if name in self.known:
            return
        if not self.proceed():
            self._stopped = True
            return
        self.known[name] = self.judge(config, min(1.0, self.best.ratio))
        yield self.known[name]

    def _descend(self, default: KernelConfig) -> Iterator[Trialled]:
        """Go from the best configuration to one that no neighbour is faster than.

        One tunable's neighbours are tried after the other; each that is faster is gone on from.
        """
        best = self.best
        current = best if best.ratio < 1.0 else Trialled(default, ratio=1.0)
        while True:
            for config in self.space.neighbours(current.config):
                if canonical(config) == canonical(default):
                    continue
                yield from self._try(config)
                if self._stopped:
                    return
                found = self.known[canonical(config)]
                if not found.refused and found.ratio < BETTER * current.ratio:
                    current = found
                    break
            else:
                return
