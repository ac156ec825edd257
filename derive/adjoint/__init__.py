"""From a definition to its derivatives: fundamental equations, solver, nests, loss heads, proofs.
May import the language, the symbols and the IR.
Never a printer of equations, and no layer by name.
"""
