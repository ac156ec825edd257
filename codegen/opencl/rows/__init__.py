"""Kernels on tensors that lie sample after sample: their lanes go along an axis of units.
May import the blocks' text, the tiling and the analysis.
Never the source files that hold them.
"""
