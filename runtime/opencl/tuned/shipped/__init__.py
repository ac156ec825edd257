"""Kernel configurations measured on classes of devices, as data: written by ``phiz tune --ship``."""
