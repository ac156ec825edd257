"""What is queued: launches alone, fused and grouped; the memory that they work on and how samples lie in it.
May import plans, the device, programs and the manifest.
Never the executor, a network or what was tuned.
"""
