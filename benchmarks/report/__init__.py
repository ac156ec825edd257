"""The record of ``phiz bench`` as Markdown, JSON and plots.
May import what made the record, for its types and limits.
Never measures.
"""
