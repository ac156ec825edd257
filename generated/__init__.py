"""Committed output of the code generator; regenerate with ``phiz generate``, never edit by hand."""
