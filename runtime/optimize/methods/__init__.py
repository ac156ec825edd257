"""Methods: each proposes a move by evaluating, and commits it without; schedules, samplers, residuals.
May import the base and the line searches.
Never the driver, files or networks.
"""
