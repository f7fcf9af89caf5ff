"""What the panes of the Watch screen draw: a run's view and options become a title and a chart. Pure."""
