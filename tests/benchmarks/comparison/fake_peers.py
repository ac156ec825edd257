"""Workers of a comparison that need no library: phiz's NumPy kernels, as they are or made wrong.

Run in child processes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from phiz.benchmarks.cases.cases import Case
from phiz.benchmarks.cases.problem import PeerForm, Results, Unsupported
from phiz.benchmarks.peers.own import Reference


class Honest:
    """The right numbers, under the name of the form "placed" as phiz has it."""

    @staticmethod
    def versions() -> str:
        return "honest 1.0"

    @staticmethod
    def prepare(case: Case, folders: Sequence[str], threads: int) -> dict[str, PeerForm]:
        form = Reference.prepare(case, folders, threads)[""]
        return {"placed": form, "host": form}


class Placed(Honest):
    """Tells where it was told to compute, how many processors it may use, and a limit of threads."""

    @staticmethod
    def versions(device: str | None = None) -> str:
        return f"{device} {len(os.sched_getaffinity(0))} {os.environ.get('OMP_NUM_THREADS')}"


class Homeless(Honest):
    """Finds no GPU."""

    @staticmethod
    def versions(device: str | None = None) -> str:
        raise Unsupported(f"finds no {device}")


class TwoForms(Honest):
    """One form that agrees, one that does not."""

    @staticmethod
    def prepare(case: Case, folders: Sequence[str], threads: int) -> dict[str, PeerForm]:
        form = Reference.prepare(case, folders, threads)[""]
        return {"right": form, "wrong": PeerForm(form.call, lambda: _off(form.results()))}


class Wrong(Honest):
    """A gradient with one entry off by a thousandth of the largest."""

    @staticmethod
    def prepare(case: Case, folders: Sequence[str], threads: int) -> dict[str, PeerForm]:
        form = Reference.prepare(case, folders, threads)[""]
        return {"": PeerForm(form.call, lambda: _off(form.results()))}


class Judged(Wrong):
    """Wrong, and knows better in float64."""

    @staticmethod
    def in_double(case: Case, folders: Sequence[str], threads: int) -> Results:
        form = Reference.prepare(case, folders, threads)[""]
        form.call()
        return form.results()


class FarOff(Judged):
    """The largest entry of the gradient is counted twice."""

    @staticmethod
    def prepare(case: Case, folders: Sequence[str], threads: int) -> dict[str, PeerForm]:
        form = Reference.prepare(case, folders, threads)[""]
        return {"": PeerForm(form.call, lambda: _off(form.results(), 1.0))}


class Lacking(Honest):
    """Has no counterpart."""

    @staticmethod
    def prepare(case: Case, folders: Sequence[str], threads: int) -> dict[str, PeerForm]:
        raise Unsupported("no counterpart of layer 0")


class Dying(Honest):
    """Ends in the middle of a block."""

    @staticmethod
    def prepare(case: Case, folders: Sequence[str], threads: int) -> dict[str, PeerForm]:
        form, calls = Reference.prepare(case, folders, threads)[""], iter(range(9))

        def call() -> object:
            return os._exit(3) if next(calls) == 8 else form.call()

        return {"": PeerForm(call, form.results)}


def _off(results: Results, part: float = 1e-3) -> Results:
    if "gradient" not in results:
        return results
    gradient = results["gradient"].copy()
    gradient[-1] += part * abs(gradient).max()
    return {**results, "gradient": gradient}
