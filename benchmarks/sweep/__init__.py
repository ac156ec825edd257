"""Owns the sweep: networks and batches drawn at random, each beside a peer, and what they show together.
May import the comparison, the kernels' times, and the runtime.
Never a library of a peer.
"""
