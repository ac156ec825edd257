"""Kernels beside the device's roof: its peaks, and the operations and times of every kernel.
May import the cases, the runtime, and for its counts the derivation and files of definitions.
Never a peer.
"""
