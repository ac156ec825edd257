"""What changes a kernel and keeps its meaning: invariants out of sums, index arithmetic out of loops.
May import the IR and the analysis.
Never knows a tile, a backend or a layer by name.
"""
