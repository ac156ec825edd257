"""One candidate: built, compared with the reference, timed; in a process of its own where it may crash.
May import the space, OpenCL, verification's kernel runs and networks.
Never decides what is tried next.
"""
