"""The commands of `focus`, one module per group."""
