"""What definitions are written with: functions, index variables, integers, names, and the way into the IR.
May import SymPy and the IR.
Never the language, the adjoint or a printer of equations.
"""
