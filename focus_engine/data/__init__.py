"""Maps and universes: opening, splitting, normalising, batching and simulating density fields."""
