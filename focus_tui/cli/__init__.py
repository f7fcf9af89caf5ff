"""The commands of `focus`, one module a group."""
