"""Text that data provide, made harmless in Markdown wherever it may stand."""

from __future__ import annotations

import re
from enum import Enum
from urllib.parse import quote

from benchmark.display.visible import visible


class Markdown(str):
    """Text that is Markdown already and is written as it is."""

    __slots__ = ()


class Place(Enum):
    """Where in Markdown a text stands, which says what would break it."""

    TEXT = "text"
    CODE = "code"
    CELL_CODE = "code in a table"
    FENCE = "fence"
    TARGET = "link target"


_MARKUP = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])")
_BLOCK = re.compile(r"^(?:[+-](?=\s|$)|#{1,6}(?=\s|$)|-{2}|=|\d{1,9}(?=[.)](?:\s|$)))")
"""What would begin a heading, a list or a line at the start of a paragraph."""
_LINKED = re.compile(r"https?://", re.IGNORECASE)
"""Of all kinds of addresses these alone are links: `javascript:` and others become file names."""
_LONG_TICKS = re.compile(r"`{3,}|~{3,}")


def escape(text: str, place: Place = Place.TEXT) -> Markdown:
    """The text so that a reader sees it as it is and nothing of it acts.

    Line breaks become spaces but for a fence; control characters, escapes of terminals and marks
    that change the direction of writing are left out.
    """
    text = visible(text, keep_lines=place is Place.FENCE)
    if place is Place.FENCE:
        return Markdown(_LONG_TICKS.sub(lambda found: "'" * len(found[0]), text))
    if place is Place.TARGET:
        kept = "/:#?&=%@+,;-._~" if _LINKED.match(text) else "/#?&=%@+,;-._~"
        return Markdown(quote(text, safe=kept))
    if place is not Place.TEXT:
        text = text.replace("`", "'")
        return Markdown(text.replace("|", "\\|") if place is Place.CELL_CODE else text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _MARKUP.sub(r"\\\g<0>", text)
    block = _BLOCK.match(text)
    if block:
        mark = block[0]
        text = (f"{mark}\\" if mark.isdigit() else f"\\{mark}") + text[len(mark) :]
    return Markdown(text)
