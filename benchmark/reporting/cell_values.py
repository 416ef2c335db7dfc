"""What a cell of a table is worth when the table is sorted."""

from __future__ import annotations

import re

_MISSING = {"", "missing", "n/a", "none", "unknown", "-", "–", "—"}
_NUMBER = re.compile(
    r"(?:[^\w\s.,+<>≤≥–—-]\s*)?"
    r"(?P<bound>[<>≤≥]\s*)?"
    r"(?P<value>[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:e[+-]?\d+)?)"
    r"\s*(?P<unit>%|[KMGT]i?B|B)?"
    r"\s*(?:[\[(±].*|[^\w\s.,:/-]*)",
    re.IGNORECASE,
)
"""A number, a bound, a share or a size, a mark beside it, and what stands behind in brackets."""
_DURATION = re.compile(
    r"(?:(\d+)h\s*)?(?:(\d+)m(?!s)\s*)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_UNIT_SECONDS = (3600, 60, 1, 0.001)
_SIZES = "BKMGT"


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no value: such cells come last, whatever the order."""
    return text.strip().lower() in _MISSING


def sort_value(text: str) -> float | None:
    """The number a cell holds, None where it is text.

    A bound is a little beyond its number; sizes are in bytes, durations in seconds.
    """
    text = text.strip().replace("\u2212", "-").replace("\u00a0", " ").replace("\u202f", " ")
    duration = _DURATION.fullmatch(text)
    if duration and any(duration.groups()):
        parts = zip(duration.groups(), _UNIT_SECONDS, strict=True)
        return sum(float(part) * unit for part, unit in parts if part)
    found = _NUMBER.fullmatch(text)
    if not found or not re.search(r"\d", found["value"]) or found["value"][:1] in "eE":
        return None
    value = float(found["value"].replace(",", ""))
    unit = (found["unit"] or "B")[0].upper()
    if unit in _SIZES:
        step = 1024 if (found["unit"] or "")[1:2] == "i" else 1000
        value *= step ** _SIZES.index(unit)
    bound = (found["bound"] or "").strip()
    if bound in ("<", ">"):
        value += (-1 if bound == "<" else 1) * (abs(value) * 1e-6 or 1e-12)
    return value
