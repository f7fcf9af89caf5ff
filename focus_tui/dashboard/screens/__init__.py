"""Full screens and dialogs of the dashboard."""
