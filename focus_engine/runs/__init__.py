"""Run folders: their paths, creation, labels and sweeps. Never imports torch."""
