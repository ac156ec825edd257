"""The automatic tuner of the paper's section 10: candidates, trials on the device, a cache of what was found.
May import everything of the runtime but training and optimizers.
Never imported by the runtime itself, only by commands and benchmarks.

| module | subject |
|---|---|
| ``space/`` | the legal configurations of a kernel, and in which order they are tried |
| ``trials/`` | one candidate: built, compared with the NumPy kernel, timed |
| ``search``, ``tune`` | all candidates of a kernel, all kernels of a network, within a budget |

What it finds is kept in ``opencl/tuned``.
"""
