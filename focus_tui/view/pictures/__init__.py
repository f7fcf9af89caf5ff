"""What the panes of the Watch screen draw: a run's view and a look become a title and a chart. Pure."""
