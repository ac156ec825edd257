"""A device, and kernels written by hand or generated, run and timed under chosen configurations.
May import the runtime.
Never a claim or its verdict.
"""
