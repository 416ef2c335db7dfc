"""Data sets, one file a family, and the one place that decides what is test."""
