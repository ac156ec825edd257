"""OpenCL source text: one file for each layer variant or loss, in blocks of samples and in rows.
May import the tiling, the passes, the analysis and the templates.
Never the NumPy reference, and no layer by name.
"""
