"""The automatic tuner of the paper's section 10: candidates, trials on the device, a cache of what was found.

| module | subject |
|---|---|
| ``space/`` | the legal configurations of a kernel, and in which order they are tried |
| ``trials/`` | one candidate: built, compared with the NumPy kernel, timed |
| ``search``, ``tune`` | all candidates of a kernel, all kernels of a network, within a budget |

What it finds is kept in ``opencl/tuned``.  It may import all of the runtime but training; only commands and benchmarks import it.
"""
