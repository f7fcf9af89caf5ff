"""Training: the loop as a generator of typed events, its state, checkpoints and distributed ranks."""
