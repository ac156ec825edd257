"""A network as data: layers on their shapes, sizes, tables, initial values, the list of kernel calls.
May import the manifest and errors.
Never a backend: nothing runs here.
"""
