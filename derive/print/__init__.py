"""Every derived equation as text, beside the definition that it came from.
May import the adjoint, the language and the symbols.
Never changes what it prints.
"""
