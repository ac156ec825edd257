"""A device, kernels written by hand and one generated kernel, run and timed under configurations of one's choice.
May import the runtime.
Never a claim or its verdict.
"""
