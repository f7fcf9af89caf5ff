"""Widgets of the dashboard: each draws what it is given, and decides nothing."""
