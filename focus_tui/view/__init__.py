"""What there is to show of runs, and in which words. Pure."""
