"""From configurations to numbers: tiles by the cost models, vector widths, parts of sums, constant and local memory.
May import the device, programs and the manifest.
Never queues anything.
"""
