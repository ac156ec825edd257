"""What definitions are written with: scalar functions, index variables, integer arithmetic; and their frozen form in the IR.
May import SymPy and the IR.
Never the language, the adjoint or a printer of equations.
"""
