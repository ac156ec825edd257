"""Kernels whose lanes are samples, and the C text that all kernels share: expressions, bounds, nests, groups.
May import the tiling, the passes and the analysis.
Never the kernels in rows, which build on it.
"""
