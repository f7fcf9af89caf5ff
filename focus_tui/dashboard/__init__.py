"""The dashboard: its app, its screens and what they share."""
