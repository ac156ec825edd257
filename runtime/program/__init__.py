"""A network as data: layers on their shapes, sizes, connections, initial values, and the list of kernel calls.
May import the manifest and errors.
Never a backend: nothing runs here.
"""
