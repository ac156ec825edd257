"""The NumPy reference as source text: axes as arrays or loops, scalars, nests, modules.
May import the IR, the analysis, the passes and the templates.
Never OpenCL's text or tiles.  (A folder called ``numpy`` could shadow the package.)
"""
