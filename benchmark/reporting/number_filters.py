"""Filters of a template that write numbers: each takes numbers alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from benchmark.display.durations import duration
from benchmark.reporting.markdown import Markdown

MISSING = Markdown("missing")


def number(value: object, digits: int = 3, signed: bool = False) -> Markdown:
    """`.123`, `-1.500`; with `signed` `+.123`."""
    found = _real(value, "number")
    return MISSING if found is None else Markdown(_fixed(found, digits, signed))


def percent(value: object, digits: int = 0, signed: bool = False) -> Markdown:
    """A share as `44%`."""
    found = _real(value, "percent")
    if found is None:
        return MISSING
    return Markdown(_signed(100 * found, digits, signed) + "%")


def thousands(value: object) -> Markdown:
    """`1,234,567`."""
    found = _real(value, "thousands")
    return MISSING if found is None else Markdown(f"{round(found):,}")


def seconds(value: object) -> Markdown:
    """`12ms`, `3.2s`, `3m 20s`, `2h 05m`."""
    found = _real(value, "seconds")
    if found is None:
        return MISSING
    if not 0 <= found < math.inf:
        raise ValueError(f"{found} is no duration")
    if round(found, 1) >= 60:
        return Markdown(duration(found))
    if found >= 0.9995:
        return Markdown(f"{found:.1f}s")
    return Markdown(f"{1000 * found:.3g}ms" if found else "0s")


def p_value(value: object) -> Markdown:
    """`.032`, `< .001` below a thousandth."""
    found = _real(value, "p_value")
    if found is None:
        return MISSING
    if not 0 <= found <= 1:
        raise ValueError(f"{found} is no p-value: it must be between 0 and 1")
    return Markdown("< .001" if found < 0.001 else _fixed(found, 3))


def byte_size(value: object) -> Markdown:
    """`512 B`, `1.5 GiB`."""
    found = _real(value, "bytes")
    if found is None:
        return MISSING
    size, units = found, ["B", "KiB", "MiB", "GiB", "TiB"]
    while abs(size) >= 1023.95 and len(units) > 1:
        size /= 1024
        del units[0]
    return Markdown(f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}")


def interval(value: object, digits: int = 3, signed: bool = False) -> Markdown:
    """`[.123, .150]` of an estimate or a pair of numbers."""
    if value is None:
        return MISSING
    ends: Sequence[Any]
    if hasattr(value, "low") and hasattr(value, "high"):
        ends = (value.low, value.high)
    elif isinstance(value, tuple | list) and len(value) == 2:
        ends = value
    else:
        raise ValueError(f"'interval' needs an estimate or two numbers, not {_kind(value)}")
    low, high = (_real(end, "interval") for end in ends)
    if low is None or high is None:
        return MISSING
    return Markdown(f"[{_fixed(low, digits, signed)}, {_fixed(high, digits, signed)}]")


FILTERS: dict[str, Callable[..., Markdown]] = {
    "number": number,
    "percent": percent,
    "thousands": thousands,
    "seconds": seconds,
    "p_value": p_value,
    "bytes": byte_size,
    "interval": interval,
}


def missing(value: object) -> bool:
    """Whether there is no value: None or not a number."""
    return value is None or (isinstance(value, Real) and math.isnan(value))


def _real(value: object, name: str) -> float | None:
    """The number, None where it is missing."""
    if missing(value):
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name!r} needs a number, not {_kind(value)}")
    return float(value)


def _kind(value: object) -> str:
    return f"the text {value!r}" if isinstance(value, str) else f"a {type(value).__name__}"


def _fixed(value: float, digits: int, signed: bool = False) -> str:
    text = _signed(value, digits, signed)
    return text.replace("0.", ".", 1) if text.lstrip("+-").startswith("0.") else text


def _signed(value: float, digits: int, signed: bool) -> str:
    """With a sign where it is wanted; what is written as zero has none."""
    if not round(value, digits):
        return f"{0:.{digits}f}"
    return f"{value:{'+' if signed else ''}.{digits}f}"
