"""Kills runs at random moments, again and again: `python -m tests.torture`."""
