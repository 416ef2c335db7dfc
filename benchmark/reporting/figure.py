"""A figure of a report, where it lies and what it shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        path: Of its PNG, relative to the report.
        words: What it shows, with the language model behind it.
    """

    path: str
    words: str
