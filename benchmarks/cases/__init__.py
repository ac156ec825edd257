"""What is measured: networks and layers, batches, samples, goals, and what every worker computes with.
May import the runtime.
Never a peer or a clock.
"""
