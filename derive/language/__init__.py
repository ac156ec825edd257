"""The definition language: layers, tensors, connections, stages, activations and losses.
May import the symbols and the IR.
Never the adjoint: a definition knows nothing of its derivatives.
"""
