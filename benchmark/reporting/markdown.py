"""Text that data provide, made harmless in Markdown wherever it may stand."""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from urllib.parse import quote


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


_TERMINAL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours and cursor
    r"|(?:\x1b\]|\x9d).*?(?:\x07|\x1b\\|\x9c)"  # window titles and links
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
_INVISIBLE = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
"""Marks that turn or hide the text around them; joiners, which scripts and emoji need, stay."""
_SPACES = re.compile(r"\s+")
_MARKUP = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])")
_BLOCK = re.compile(r"^(?:[+-](?=\s|$)|#{1,6}(?=\s|$)|-{2}|=|\d{1,9}(?=[.)](?:\s|$)))")
"""What would begin a heading, a list or a line at the start of a paragraph."""
_LONG_TICKS = re.compile(r"`{3,}|~{3,}")


def escape(text: str, place: Place = Place.TEXT) -> Markdown:
    """The text so that a reader sees it as it is and nothing of it acts.

    Line breaks become spaces but for a fence; control characters, escapes of terminals and marks
    that change the direction of writing are left out.
    """
    text = _visible(text, keep_lines=place is Place.FENCE)
    if place is Place.FENCE:
        return Markdown(_LONG_TICKS.sub(lambda found: "'" * len(found[0]), text))
    if place is Place.TARGET:
        return Markdown(quote(text, safe="/:#?&=%@+,;-._~"))
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


def _visible(text: str, keep_lines: bool) -> str:
    text = _INVISIBLE.sub("", _TERMINAL.sub("", str.__str__(text)))
    lines = re.split(r"\r\n|[\n\r\v\f\x85\u2028\u2029]", text)
    if keep_lines:
        return "\n".join(_shown(line) for line in lines)
    return _SPACES.sub(" ", _shown(" ".join(lines))).strip()


def _shown(line: str) -> str:
    """Without control characters; halves of characters, which no file can hold, are replaced."""
    kinds = ((letter, unicodedata.category(letter)) for letter in line)
    return "".join(
        "\ufffd" if kind == "Cs" else letter
        for letter, kind in kinds
        if kind != "Cc" or letter == "\t"
    )
