"""What is true of a kernel: affine accesses, addresses, products, arguments, layers that select.
May import the IR.
Never changes a kernel, and knows no tile and no backend.
"""
