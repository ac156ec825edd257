"""Searches along a direction: brackets, interpolation, the conditions that end them, and all of them by name.
May import the base.
Never a method, which chooses among them.
"""
