"""The command line and the dashboard of FOCUS."""
