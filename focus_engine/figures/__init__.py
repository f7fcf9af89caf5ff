"""PNG figures, drawn from the results that the terminal draws too."""
