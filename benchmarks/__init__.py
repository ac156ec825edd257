"""Measurements: phiz beside its peers, kernels beside the device's roof, optimizers, the paper's claims.
May import every room but the command line.
Never imported by any room but the command line.
"""
