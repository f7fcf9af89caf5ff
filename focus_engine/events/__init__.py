"""What a run says of itself: the table of events and their log."""
