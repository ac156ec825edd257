"""The claims of the paper's section 9, measured on the device at hand.
May import its own folders and the runtime.
Never the comparison with peers.
"""
