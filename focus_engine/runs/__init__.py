"""The light tier: a run is a folder, and its event log is the truth. Never imports torch."""
