"""NumPy reference kernels."""
