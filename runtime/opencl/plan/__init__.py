"""The plans of kernels: configurations in numbers, with tiles by the cost models.
May import the device, programs and the manifest.
Never queues anything.
"""
