"""The legal configurations of a kernel and the order in which they are tried; the paper's counts and Algorithm 4.
May import plans, the device and the manifest.
Never runs a kernel.
"""
