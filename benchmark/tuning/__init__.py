"""Searches for settings by validation targets. `optuna` is imported where it is used alone."""
