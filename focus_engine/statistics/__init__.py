"""Statistics of density fields: the only P(k) of the project, the one-point PDF, slab means."""
