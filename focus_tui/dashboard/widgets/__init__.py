"""Widgets of the dashboard; they draw what they are given and read no files, except `sample_scores`."""
