"""LaTeX of functions whose names hold a digit, which SymPy takes for an index: expm1, log1p."""

from __future__ import annotations

import re

from sympy.printing.latex import LatexPrinter


class FunctionLatex(LatexPrinter):
    """SymPy's printer, for names of functions as they are."""

    def _hprint_Function(self, func: str) -> str:
        if re.fullmatch(r"[A-Za-z]+\d[A-Za-z0-9]*", func):
            return rf"\operatorname{{{func}}}"
        return str(super()._hprint_Function(func))
