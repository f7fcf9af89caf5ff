"""The config: its schema, and reading, checking and editing config.yaml."""
