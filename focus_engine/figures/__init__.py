"""PNG figures of the results that the terminal also shows."""
