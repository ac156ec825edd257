"""The OpenCL backend: which device, which configurations, how many samples; and one program's executor.
May import its own folders, programs, the manifest and the protocol of backends.
Never networks, training or the tuner, which choose and measure what it runs.
"""
