"""Text that somebody else wrote, made so that readers see it and nothing of it acts.

Titles, ids, names in records, paths and errors of libraries may hold escapes of terminals, marks
that turn the direction of writing, letters that nobody sees, or a million characters.
"""

from __future__ import annotations

import re
import unicodedata

_STRINGS = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])"
"""What begins a string for the terminal: window titles, links, the clipboard."""
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours and cursor
    rf"|{_STRINGS}[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
"""Marks that turn or hide the text around them; joiners, which scripts and emoji need, stay."""
_BREAKS = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")
_SPACES = re.compile(r"\s+")
LINE = 2000
"""Most characters of an error, a note or a value on the terminal."""
_FILE_NAME = 160
"""Bytes; file systems take 255, some of which endings and temporary names need."""
NAME = 200
"""Most characters of what a table or a figure calls something."""


def visible(text: str, *, keep_lines: bool = False) -> str:
    """A text without escapes, control characters and marks that nobody sees.

    Halves of characters, which no file can hold, become U+FFFD.

    Args:
        text: What somebody wrote.
        keep_lines: Keeps line breaks, as line feeds, and all spaces; else any white space between
            words becomes one space.
    """
    text = str.__str__(text)
    if text.isascii() and text.isprintable() and keep_lines:
        return text
    lines = _BREAKS.split(_UNSEEN.sub("", _ESCAPES.sub("", text)))
    if keep_lines:
        return "\n".join(map(_seen, lines))
    return _SPACES.sub(" ", _seen(" ".join(lines))).strip()


def bounded(text: str, most: int = LINE) -> str:
    """A visible text on one line, which says how long it was where it was too long.

    Args:
        text: What somebody wrote.
        most: Characters of it that are shown.
    """
    shown = visible(text[: 4 * most])
    if len(text) <= 4 * most and len(shown) <= most:
        return shown
    return f"{shown[:most]}… ({len(text):,} characters)"


def file_name(text: str) -> str:
    """A text as the name of a file, which leads nowhere and fits: no `/`, at most 160 bytes."""
    name = re.sub(r"[^\w.-]+", "-", text)
    if len(name.encode("utf-8", "replace")) <= _FILE_NAME:
        return name
    import hashlib  # this file is imported before any command runs

    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{name.encode('utf-8', 'replace')[: _FILE_NAME - 9].decode(errors='ignore')}-{digest}"


def _seen(line: str) -> str:
    kinds = ((letter, unicodedata.category(letter)) for letter in line)
    return "".join(
        "\ufffd" if kind == "Cs" else letter
        for letter, kind in kinds
        if kind != "Cc" or letter == "\t"
    )
