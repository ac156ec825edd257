"""Training runs: settings, the loop over epochs, scores, checkpoints, history and pictures.
May import networks, data and optimizers.
Never a command line, verification or the tuner.
"""
