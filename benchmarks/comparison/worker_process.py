"""The parent's end of a worker: a process with its own threads, which answers or is given up."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, Any

from ..cases.problem import Unsupported
from ..peers.registry import Peer
from .worker import read, write

#: Seconds after which a worker that does not answer is given up: compiling one network may take long on a
#: busy machine.
PATIENCE = 240.0


class WorkerError(Exception):
    """A worker that failed, died or did not answer; the message is one line."""


#: Where a GPU computes: no library rounds factors to fewer bits, and JAX does not take three quarters of the
#: memory at once.
ON_GPU = {"NVIDIA_TF32_OVERRIDE": "0", "ALLOW_TF32": "0", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
#: PyTorch compiles in the worker's own process, and what a worker prints comes at once.
ALWAYS = {"TORCHINDUCTOR_COMPILE_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def environment(threads: int, gpu: bool = False) -> dict[str, str]:
    """The process environment under which each library keeps to ``threads`` threads of the CPU, or computes
    on a GPU.

    There threads are not limited, and JAX is free to find the GPU whatever platform the user prefers.
    """
    if gpu:
        return (
            {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"} | ON_GPU | ALWAYS
        )
    count = str(threads)
    names = (
        "POCL_MAX_PTHREAD_COUNT",
        "POCL_CPU_MAX_CU_COUNT",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUM_CPU_THREADS",
        "NPROC",
    )
    own = {
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads={threads}",
        "JAX_PLATFORMS": "cpu",
    }
    return {**os.environ, **dict.fromkeys(names, count), **own, **ALWAYS}


def keep_to(threads: int) -> Callable[[], None] | None:
    """Called in the child: the first ``threads`` of the processors at hand, where the system can say so."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    chosen = sorted(os.sched_getaffinity(0))[:threads]
    return lambda: os.sched_setaffinity(0, chosen)


class WorkerProcess:
    """One worker, started on first use, and started afresh after it died.

    peer: what it runs.
    threads: what it keeps to, unless it computes on a GPU.
    device: what the peer is told to compute on; None for its own choice.
    gpu: whether it computes on a GPU.
    own: variables of its environment besides those that limit its threads.

    ``patience``: seconds after which it is given up, where a request says nothing else.
    """

    def __init__(
        self,
        peer: Peer,
        threads: int,
        device: str | None = None,
        gpu: bool = False,
        own: Mapping[str, str] | None = None,
    ) -> None:
        self.peer, self.threads, self.device, self.gpu = peer, threads, device, gpu
        self.own, self.patience = dict(own or {}), PATIENCE
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ask(self, *request: Any, patience: float | None = None) -> Any:
        """The reply; ``patience``: its own, in seconds.

        Raises WorkerError, or Unsupported where the peer has no counterpart.
        """
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        try:
            write(process.stdin, request)  # type: ignore[arg-type]
            self._await(process, self.patience if patience is None else patience)
            status, reply = read(process.stdout)  # type: ignore[arg-type]
        except (EOFError, BrokenPipeError):
            line = self._last_words()
            code = process.wait()
            self.stop()
            raise WorkerError(
                f"{self.peer.title}: ended with status {code}{': ' + line if line else ''}"
            ) from None
        if status == "unsupported":
            raise Unsupported(reply)
        if status == "error":
            raise WorkerError(f"{self.peer.title}: {reply}")
        return reply

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
            command = [
                sys.executable,
                "-m",
                f"{__package__}.worker",
                self.peer.module,
                self.peer.attribute,
                self.device or "",
            ]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment(self.threads, self.gpu) | self.own,
                preexec_fn=None if self.gpu else keep_to(self.threads),
            )
        return self._process

    def _await(self, process: subprocess.Popen[bytes], patience: float) -> None:
        """Wait for the first byte of the reply."""
        assert process.stdout is not None
        ends = time.monotonic() + patience
        while not select.select([process.stdout], [], [], max(0.0, ends - time.monotonic()))[0]:
            if time.monotonic() >= ends:
                self.stop()
                raise WorkerError(f"{self.peer.title}: no answer within {patience:.0f} s")

    def _last_words(self) -> str:
        if self._errors is None:
            return ""
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 2000))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else ""

    def stop(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            try:
                process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._errors is not None:
            self._errors.close()
            self._errors = None
