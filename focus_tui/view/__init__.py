"""Text, tables and pictures that describe runs, for the command line and the dashboard. Pure."""
