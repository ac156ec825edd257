"""placeholder"""
class EquationPrinter:
    def __init__(self, *a): pass
    def forward(self, stage): return "", ""
    def adjoint(self, info, contributions, role): return "", ""
