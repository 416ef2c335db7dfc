"""The harness: data sets, tasks, metrics and records. It knows no method by name."""

__version__ = "0.1.0"
