"""Durations as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds as people read them, for example `3m 20s`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"
