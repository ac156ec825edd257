"""The Mako templates of both backends, and what renders them.
May import Mako.
Never the rest of the generator, and no layer by name.
"""
