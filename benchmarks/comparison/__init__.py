"""All workers in turn: processes, agreement before timing, memory, waits.
May import peers, cases, and what is measured of kernels.
Never a report.
"""
