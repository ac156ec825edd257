"""OpenCL devices: discovery, capabilities, caches, what configurations must fit; and programs built for them.
May import PyOpenCL, programs, the manifest and errors.
Never a plan or a launch.
"""
