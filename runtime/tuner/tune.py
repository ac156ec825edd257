"""The tuning of all kernels of a network within a budget of seconds, the slowest first.

What is found is kept as it is found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..opencl.plan.config import DEFAULT, KernelConfig
from ..opencl.tuned.cache import Cache
from ..opencl.tuned.identity import Place, kernel_record, key, place
from ..opencl.tuned.record import ENOUGH, Entry, Trialled, canonical
from ..powers import power_above
from .search import Search
from .space.space import Space
from .trials.candidate import RefusedError
from .trials.child import Child
from .trials.jobs import Job
from .trials.timer import Timer
from .trials.trial import Trials, space

if TYPE_CHECKING:
    from ..opencl.backend import OpenCLBackend


class Workbench(Protocol):
    """What tries the candidates of one kernel."""

    space: Space

    def default_seconds(self) -> float:
        """The seconds of one launch of the default.

        Raises RefusedError where its numbers are wrong.
        """

    def try_out(self, config: KernelConfig, best: float) -> Trialled:
        """One candidate, checked, then timed beside the default."""

    def confirm(self, config: KernelConfig) -> tuple[float, float]:
        """Seconds of the default and of the configuration, measured once more."""


class Laboratory(Protocol):
    """Where kernels are measured."""

    place: Place

    def workbench(self, job: Job) -> Workbench:
        """The workbench for the candidates of one kernel."""

    def samples(self, job: Job) -> int:
        """How many samples a lookup of the kernel's configuration asks for."""


class Observer(Protocol):
    """Told how a tuning goes on."""

    def begin(self, kernels: int, budget: float) -> None:
        """Called before the first kernel."""

    def kernel(self, number: int, name: str) -> None:
        """The search for kernel ``number`` (from 0) begins."""

    def tried(self, name: str, trial: Trialled) -> None:
        """Called when one candidate was tried."""

    def end(self) -> None:
        """Called after the last kernel."""


class Silent:
    """An observer that says nothing."""

    def begin(self, kernels: int, budget: float) -> None:
        return None

    def kernel(self, number: int, name: str) -> None:
        return None

    def tried(self, name: str, trial: Trialled) -> None:
        return None

    def end(self) -> None:
        return None


@dataclass(frozen=True)
class Tuning:
    """What a run found.

    ``entries`` by the kernels' names in the network, in its order, those of earlier runs included.

    ``broken``: kernels whose default is wrong, and how.
    ``left``: kernels whose search is not complete.
    ``seconds``: it took.
    """

    entries: tuple[tuple[str, Entry], ...]
    broken: tuple[tuple[str, str], ...]
    left: int
    tried: int
    seconds: float
    interrupted: bool


class DeviceLaboratory:
    """A laboratory on a device.

    What may take the process along goes to a child first.
    """

    def __init__(self, backend: OpenCLBackend, selector: str = "", timer: Timer | None = None) -> None:
        self.backend, self.timer, self.place = backend, timer, place(backend.device)
        self.child = Child(selector, fuse=backend.fuse, lanes=backend.lanes)

    def workbench(self, job: Job) -> Workbench:
        """Trials on the device."""
        return _Guarded(Trials(job, self.backend, self.timer), self.child)

    def samples(self, job: Job) -> int:
        """Those of a block where the pass is fused."""
        return space(job, self.backend).samples

    def close(self) -> None:
        """End the child."""
        self.child.close()


class _Guarded:
    def __init__(self, trials: Trials, child: Child) -> None:
        self.trials, self.child, self.space = trials, child, trials.space

    def default_seconds(self) -> float:
        return self.trials.default_seconds()

    def try_out(self, config: KernelConfig, best: float) -> Trialled:
        if not self.space.illegal(config) and self.space.unproven(config):
            found = self.child.check(self.trials.job, config)
            if found.refused:
                return found
        return self.trials.try_out(config, best)

    def confirm(self, config: KernelConfig) -> tuple[float, float]:
        return self.trials.confirm(config)


def tune(
    jobs: Sequence[Job],
    laboratory: Laboratory,
    cache: Cache,
    budget: float,
    again: bool = False,
    observer: Observer | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Tuning:
    """Search the configurations of ``jobs`` for about ``budget`` seconds (the trial in hand is finished);
    keep them in ``cache``.

    What the cache has is not tried again, unless ``again``.  Ctrl-C ends the run and keeps what was found.
    """
    return _Run(laboratory, cache, budget, again, observer or Silent(), clock).run(jobs)


class _Run:
    def __init__(
        self,
        laboratory: Laboratory,
        cache: Cache,
        budget: float,
        again: bool,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self.laboratory, self.cache, self.budget, self.again = laboratory, cache, budget, again
        self.observer, self.clock, self.started = observer, clock, clock()
        self.tried = 0
        self._keys: dict[int, str] = {}
        self.fresh: set[str] = set()
        self.broken: list[tuple[str, str]] = []

    def run(self, jobs: Sequence[Job]) -> Tuning:
        interrupted = False
        self.cache.store({})  # where nothing can be kept, nothing need be measured
        self.observer.begin(len(jobs), self.budget)
        try:
            self._search(jobs)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self.observer.end()
        known = self.cache.entries()
        entries = tuple((job.name, known[k]) for job in jobs if (k := self._key(job)) in known)
        left = sum(not self._done(job) for job in jobs) - len(self.broken)
        return Tuning(entries, tuple(self.broken), left, self.tried, self.clock() - self.started, interrupted)

    @property
    def remaining(self) -> float:
        return self.budget - (self.clock() - self.started)

    def _search(self, jobs: Sequence[Job]) -> None:
        """Divides the remaining budget among the remaining kernels in proportion to their times.

        Measuring the defaults takes at most half of what is left; what was not reached comes after the
        kernels that were.
        """
        unmeasured = [job for job in jobs if not self._done(job)]
        seconds: dict[str, float] = {}
        while self.remaining > 0:
            unmeasured = self._measure(unmeasured, seconds)
            pending = [job for job in jobs if self._key(job) in seconds and not self._done(job)]
            pending.sort(key=lambda job: -seconds[self._key(job)])
            before = self.tried
            for number, job in enumerate(pending):
                total = sum(seconds[self._key(other)] for other in pending[number:])
                share = self.remaining * seconds[self._key(job)] / total if total > 0 else self.remaining
                self.observer.kernel(number, job.name)
                self._kernel(job, seconds[self._key(job)], self.clock() + share)
            if not unmeasured and self.tried == before:
                return

    def _measure(self, jobs: Sequence[Job], seconds: dict[str, float]) -> list[Job]:
        """The defaults of ``jobs``, for half of the time that is left; returns those that were not
        reached.
        """
        enough = self.remaining / 2
        for number, job in enumerate(jobs):
            if number and self.remaining <= enough:
                return list(jobs[number:])
            try:
                seconds[self._key(job)] = self.laboratory.workbench(job).default_seconds()
            except RefusedError as error:
                self.broken.append((job.name, error.reason))
        return []

    def _kernel(self, job: Job, seconds: float, deadline: float) -> None:
        name, bench = self._key(job), self.laboratory.workbench(job)
        old = self.cache.entries().get(name)
        search = Search(bench.space, bench.try_out, lambda: self.clock() < deadline and self.remaining > 0)
        if old is not None and (not self.again or name in self.fresh):
            search.known = {canonical(trial.config): trial for trial in old.trials}
        else:
            old = None
        before = self.tried
        stopped: KeyboardInterrupt | None = None
        try:
            for trial in search.run():
                self.tried += 1
                self.observer.tried(job.name, trial)
        except KeyboardInterrupt as interrupt:
            stopped = interrupt
        if self.tried > before or search.complete or old is None:
            entry = self._entry(job, bench, search, seconds, old, stopped is not None)
            self.cache.store({name: entry}, replace=self.again and name not in self.fresh)
            self.fresh.add(name)
        if stopped is not None:
            raise stopped

    def _entry(
        self, job: Job, bench: Workbench, search: Search, seconds: float, old: Entry | None, hurry: bool
    ) -> Entry:
        """The best that stands a second measurement, in a hurry the first; the default where none is
        ``ENOUGH`` faster.
        """
        record = kernel_record(job.unit, job.kernel, job.dtype, power_above(bench.space.samples))
        where = self.laboratory.place.record()
        best = search.best
        chosen, default, own = DEFAULT, seconds, seconds
        if best.ratio <= ENOUGH and best.config != DEFAULT:
            default, own = self._confirmed(bench, best, old, seconds, hurry)
            chosen = best.config
            if own > ENOUGH * default:
                chosen, own = DEFAULT, default
        return Entry(record, where, chosen, default, own, search.trials, search.complete)

    def _confirmed(
        self, bench: Workbench, best: Trialled, old: Entry | None, seconds: float, hurry: bool
    ) -> tuple[float, float]:
        if old is not None and old.config == best.config:
            return old.default_seconds, old.seconds
        if hurry:
            return seconds, best.ratio * seconds
        try:
            return bench.confirm(best.config)
        except RefusedError:  # right once and wrong now: not to be used
            return seconds, seconds

    def _done(self, job: Job) -> bool:
        name = self._key(job)
        known = self.cache.entries().get(name)
        return known is not None and known.complete and (not self.again or name in self.fresh)

    def _key(self, job: Job) -> str:
        if id(job) not in self._keys:
            record = kernel_record(job.unit, job.kernel, job.dtype, power_above(self.laboratory.samples(job)))
            self._keys[id(job)] = key(record, self.laboratory.place.record())
        return self._keys[id(job)]


def tune_on_device(
    jobs: Sequence[Job],
    backend: OpenCLBackend,
    cache: Cache,
    budget: float,
    again: bool = False,
    observer: Observer | None = None,
    selector: str = "",
) -> Tuning:
    """``tune`` on the backend's device, which ``selector`` names (see ``device.choose``)."""
    with closing(DeviceLaboratory(backend, selector)) as laboratory:
        return tune(jobs, laboratory, cache, budget, again, observer)
