"""Our optimizers beside others, on functions and networks.
May import the runtime, and the tests' problems.
Never a kernel.
"""
