"""What is generated beside kernels: pages of equations, the manifest, kernels as text for people.
May import the derivation's results, the tiling and OpenCL's names of macros.
Never decides anything about a kernel.
"""
