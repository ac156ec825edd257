"""What a generated folder holds: its typed records, their reading, its files, expressions in sizes.
May import errors and files.
Never a layer of a network, or a backend.
"""
