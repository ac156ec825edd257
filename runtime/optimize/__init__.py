"""The optimizers of the paper on one flat parameter vector."""
