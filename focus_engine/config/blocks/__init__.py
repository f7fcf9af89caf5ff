"""The blocks of config.yaml, one module for each concern; `focus_engine.config.schema` joins them."""
