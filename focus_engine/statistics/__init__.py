"""Statistics of density fields: the power spectrum P(k), the one-point PDF and the slab mean."""
