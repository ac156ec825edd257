"""Data sets: bundled ones, IDX, CSV and NPZ files, labels, standardisation, splits.
May import errors and files.
Never a network or a backend.
"""
