"""OpenCL source text: one file for each layer variant or loss, in blocks of samples and in rows.
May import the IR, frozen activations, the tiling, the analysis and the templates; its folders the passes.
Never the NumPy reference, and no layer by name.
"""
