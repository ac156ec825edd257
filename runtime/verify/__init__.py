"""Verification: derived kernels against differences, against themselves, and backend against backend.
May import networks' programs, both backends and the manifest.
Never training, optimizers or the tuner.
"""
