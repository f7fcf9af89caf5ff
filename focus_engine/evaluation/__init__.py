"""Trained models: drawing maps from them, and comparing them."""
