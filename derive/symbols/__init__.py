"""What definitions are written with: scalar functions, index variables, integer arithmetic, and how the IR holds them.
May import SymPy and the IR.
Never the language, the adjoint or a printer of equations.
"""
