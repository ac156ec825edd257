"""The workers of a comparison: phiz, and every library as a person would use it.
May import the cases, the runtime, and one library each.
Never another peer.
"""
