"""Measurements: phiz beside its peers, kernels beside the device's roof, optimizers beside other optimizers."""
