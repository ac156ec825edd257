"""Kernels beside the device's roof: its peaks, and the operations and times of every kernel.
May import the cases, the runtime, and the IR for its counts.
Never a peer.
"""
