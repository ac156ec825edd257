"""The legal configurations of a kernel and the order in which they are tried; Algorithm 4.
May import the OpenCL backend with its plans and devices, programs and the manifest.
Never runs a kernel.
"""
