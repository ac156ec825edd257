"""Definitions of the built-in layers."""
