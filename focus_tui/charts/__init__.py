"""Charts and maps drawn as text, by pure functions."""
