"""Runs committed kernels: backends, networks, training, optimizers.  Never imports SymPy, Mako, derive or codegen."""
