"""The training loop: a generator of typed events that knows no disk and no screen."""
