"""The NumPy backend: generated NumPy kernels, run in order.
May import programs, the manifest and the protocol of backends.
Never OpenCL.
"""
