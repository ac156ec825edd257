"""The automatic tuner of the paper's section 10: candidates, trials on the device, a cache of what was found.

| module | subject |
|---|---|
| ``space``, ``local_sizes``, ``predicted`` | the legal schedules of a kernel, and in which order they are tried |
| ``jobs``, ``trial``, ``timer``, ``child`` | one candidate: built, compared with the NumPy kernel, timed |
| ``search``, ``tune`` | all candidates of a kernel, all kernels of a network, within a budget |
| ``record``, ``cache``, ``identity``, ``lookup`` | what is kept, where, under which key, and how a backend finds it |
| ``ship``, ``carry`` | what comes with phiz: written, and carried over where kernels change in text or names alone |
"""
