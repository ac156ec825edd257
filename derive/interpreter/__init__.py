"""What a definition means, by brute force: every point of every index, with NumPy's arithmetic.
May import the language and the symbols.
Never the adjoint, the IR or the index solver: these are what it is held against.
"""
