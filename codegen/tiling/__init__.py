"""Which axes a work item computes tiles of, which axis fills lanes, what lies in constant and local memory.
May import the IR, the analysis and the passes.
Never writes text, and never chooses the size of a tile.
"""
