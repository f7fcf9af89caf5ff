"""The processes that train a run; started as `python -m focus_engine.worker RUN_DIR`."""
