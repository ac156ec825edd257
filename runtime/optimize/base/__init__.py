"""What every method shares: objectives, counted evaluations, results, products of vectors, errors.
May import NumPy and the runtime's errors.
Never a search, a method or the driver.
"""
