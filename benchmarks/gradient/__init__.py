"""Time and peak memory of one gradient beside PyTorch's eager mode.
May import the cases, the kernels' times and the runtime.
Never the comparison of all peers.
"""
