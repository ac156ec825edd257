"""The NumPy reference as source text: axes as arrays or loops, scalars, nests, modules.
May import the IR, the derivation's names, the analysis and the templates.
Never a pass, OpenCL's text or tiles.  (A folder called ``numpy`` could shadow the package.)
"""
