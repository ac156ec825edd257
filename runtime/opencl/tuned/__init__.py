"""Kernel configurations that were measured: records, the user's cache, shipped files, how to find them.
May import plans, the device, programs, the manifest and files.
Never the tuner, which fills it.
"""
