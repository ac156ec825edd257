"""Verification: derived kernels against differences, against themselves, and backend against backend.
May import programs, both backends and the manifest.
Never networks, training, optimizers or the tuner.
"""
