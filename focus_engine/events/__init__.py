"""The events of a run: their types, their log, and the history of a resumed run."""
