"""Charts and pictures as text. Pure."""
