"""The text of a template as a reader of Markdown sees it: its numbers, and where fields stand.

The Markdown parser that makes the page says what is text and what is code, a link target or the
number of a list, so that both agree.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from markdown_it import MarkdownIt

from benchmark.errors import UserError
from benchmark.reporting.markdown import Place

if TYPE_CHECKING:
    from jinja2 import Environment
    from markdown_it.token import Token

_FIRST_FIELD = "\U000f0000"
_FIELDS = re.compile("[\U000f0000-\U000ffffd]")
"""Characters of private use that stand for the first, second, ... field of a template."""
_SECTION = re.compile(r"^\s*[1-9]\d?(?:\.\d{1,2})*[.)](?=\s|$)")
_LINK = re.compile(r"https?://\S+")
_PARTS = re.compile(r"[^\s=:/|,;()\[\]{}<>\"'*~–—\U000f0000-\U000ffffd]+")
"""What may be a word: numbers behind a letter belong to it, as in `recall@10` or `BM25`."""


@dataclass(frozen=True)
class Skeleton:
    """The text of a template without blocks and comments, a character in place of each field.

    Attributes:
        text: It, with lines of its own.
        lines: Line of the text from 0 → line of the template.
    """

    text: str
    lines: Sequence[int]


def skeleton(source: str, environment: Environment) -> Skeleton:
    """What stands in a template beside its expressions and blocks."""
    text, lines, fields, in_field = "", [1], 0, False
    for line, kind, value in environment.lex(source):
        if kind == "variable_begin":
            in_field = True
        elif kind == "variable_end":
            in_field = False
            value = chr(ord(_FIRST_FIELD) + fields)
            fields += 1
        if in_field or kind not in ("data", "variable_end"):
            continue
        if not text or text.endswith("\n"):
            lines[-1] = line
        if kind == "data":
            lines += range(line + 1, line + 1 + value.count("\n"))
        text += value
    return Skeleton(text, lines)


_BARE = re.compile(r"[-+<>=~\s.,%()\[\]]*\d[-+<>=~\s\d.,%()\[\]]*")
"""Code that says nothing but numbers."""


def stray_number(text: str) -> str | None:
    """The first number in a text that is no part of a name."""
    for part in _PARTS.finditer(_LINK.sub("", text)):
        word = part[0].strip(".!?&#$%+-")
        for letter in word:
            kind = unicodedata.category(letter)
            if kind.startswith("L"):
                break
            if kind.startswith("N"):
                return part[0].rstrip(".!?")
    return None


def check_numbers(found: Skeleton, where: str) -> None:
    """A number that is written in the text, and comes from no field, is an error with its line.

    Link targets, numbers of lists and of headings may have digits, and code that is more than a
    number.
    """
    for shown in _pieces(found.text):
        stray, below = None, 0
        if shown.place is Place.TEXT:
            stray = stray_number(shown.text)
        elif shown.place is not Place.TARGET:
            for number, code in enumerate(shown.text.splitlines()):
                if _BARE.fullmatch(code.strip()):
                    stray, below = code.strip(), number + (shown.place is Place.FENCE)
                    break
        if stray is not None:
            line = found.lines[min(shown.line + below, len(found.lines) - 1)]
            raise UserError(
                f"{where} line {line}: {stray!r} is a number in the text; numbers come from "
                "fields alone (a name that begins with a digit can stand in `backticks`)"
            )


def places(found: Skeleton) -> dict[int, Place]:
    """Where fields stand, by their number in the template; what is not in it is plain text."""
    return {
        ord(letter) - ord(_FIRST_FIELD): piece.place
        for piece in _pieces(found.text)
        for letter in _FIELDS.findall(piece.text)
    }


@dataclass(frozen=True)
class _Piece:
    """A part of the text; `line` counts from 0."""

    text: str
    place: Place
    line: int


def _pieces(text: str) -> Iterator[_Piece]:
    # Without indented code: what is indented in a template may be a paragraph once it is rendered.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("code")
    line, code, heading = 0, Place.CODE, False
    for token in parser.parse(text):
        line = token.map[0] if token.map else line
        if token.type == "table_open":
            code = Place.CELL_CODE
        elif token.type == "table_close":
            code = Place.CODE
        elif token.type == "fence":
            yield _Piece(token.info + token.content, Place.FENCE, line)
        elif token.type == "inline":
            # Rows that a loop makes may have columns the template has not.
            row = Place.CELL_CODE if token.content.startswith("|") else code
            pieces = list(_inline(token.children or [], line, row))
            if heading and pieces and pieces[0].place is Place.TEXT:
                pieces[0] = replace(pieces[0], text=_SECTION.sub("", pieces[0].text))
            yield from pieces
        heading = token.type == "heading_open"


def _inline(tokens: Sequence[Token], line: int, code: Place) -> Iterator[_Piece]:
    targets: list[str] = []
    for token in tokens:
        if token.type == "text":
            yield _Piece(token.content, Place.TEXT, line)
        elif token.type == "code_inline":
            yield _Piece(token.content, code, line)
        elif token.type in ("softbreak", "hardbreak"):
            line += 1
        elif token.type == "link_open":
            targets.append(str(token.attrs["href"]))
            yield _Piece(str(token.attrs.get("title", "")), Place.TEXT, line)
        elif token.type == "link_close":
            yield _Piece(unquote(targets.pop()), Place.TARGET, line)
        elif token.type == "image":
            yield from _inline(token.children or [], line, code)
            yield _Piece(str(token.attrs.get("title", "")), Place.TEXT, line)
            yield _Piece(unquote(str(token.attrs["src"])), Place.TARGET, line)
