"""Kernel configurations that were measured: records, the user's cache, the shipped files, and how a backend finds them.
May import plans, the device, programs, the manifest and files.
Never the tuner, which fills it.
"""
