"""The ``phiz`` command, one file for each subcommand; the one room that knows every stage.
May import every room.
Never holds logic of its own.
"""
