"""The dashboard: the app, its screens and widgets, and the feed, jobs and settings they use."""
