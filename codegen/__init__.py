"""From the kernels of the IR to source text: passes, tiles, printers, templates, pages, the manifest.
May import the derivation and Mako.
Never the runtime, and no layer by name; it differentiates nothing.
"""
