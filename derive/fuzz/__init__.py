"""Random definitions as Python text: layers that nobody thought of, to try everything on.
May import the language.
Never a backend: who runs what is drawn decides that.
"""
