"""From a definition to its derivatives: the fundamental equations, the index solver, nests of loops, loss heads and proofs.
May import the language, the symbols and the IR.
Never a printer of equations, and no layer by name.
"""
