"""Tables of a page: named, with headers of rows and columns, and values to sort by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from markdown_it.token import Token

from benchmark.reporting.cell_values import is_missing, sort_value

_LOOSE_SPACE = re.compile(r" (?![\[(])")
"""Where a cell of numbers must not be broken: it may be before its interval."""

_LONG_WORD = re.compile(r"[^\s]{14,}")
"""What would make a column wide, or be broken anywhere in a narrow one."""
_JOINT = re.compile(r"(?<=[_,/])(?=\w)")
"""Where a long word may be broken: the names of methods and settings have such places."""

_PROSE = 40
"""Letters from which on a cell is not made narrow."""


@dataclass
class _Cell:
    """The tokens of one cell."""

    opening: Token
    inline: Token
    closing: Token

    @property
    def text(self) -> str:
        return plain_text(self.inline.children or [])


@dataclass
class _Table:
    """The tokens of one table, and its cells by row; the head is the first of them."""

    tokens: list[Token]
    rows: list[list[_Cell]] = field(default_factory=list)


def mark_tables(tokens: Sequence[Token]) -> list[Token]:
    """The tokens of a document, each table in a region of its own that scrolls.

    The region is named by a caption that says what section it is in. Where all cells of the head
    are empty there is none.
    """
    marked: list[Token] = []
    table: _Table | None = None
    number, heading, seen = 0, "", 0
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            heading, seen = plain_text(tokens[place + 1].children or []), 0
        if token.type == "table_open":
            table = _Table([])
        if table is None:
            marked.append(token)
            continue
        table.tokens.append(token)
        if token.type == "tr_open":
            table.rows.append([])
        elif token.type in ("th_open", "td_open"):
            table.rows[-1].append(_Cell(token, tokens[place + 1], tokens[place + 2]))
        elif token.type == "table_close":
            number, seen = number + 1, seen + 1
            name = f"{heading or 'Table'}" + (f", table {seen}" if seen > 1 else "")
            marked += _region(table, f"table_{number}", name)
            table = None
    return marked


def plain_text(tokens: Sequence[Token]) -> str:
    """What inline tokens say without markup."""
    parts = []
    for token in tokens:
        if token.type in ("text", "code_inline"):
            parts.append(token.content)
        elif token.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif token.type == "image":
            parts.append(plain_text(token.children or []))
    return "".join(parts)


def _region(table: _Table, identity: str, name: str) -> list[Token]:
    head, *body = table.rows
    cells = [cell for row in table.rows for cell in row]
    for cell in cells:
        _class_for_style(cell)
        if len(cell.text) > _PROSE:
            cell.opening.attrs.setdefault("class", "prose")
    for cell, column in zip(head, zip(*body, strict=True), strict=False):
        if _has_values(column):
            for other in (cell, *column):
                other.opening.attrs.setdefault("class", "number")
    for cell in head:
        if cell.text.strip():
            cell.opening.attrSet("scope", "col")
        else:
            cell.opening.tag = cell.closing.tag = "td"
    for row in body:
        if row[0].text.strip():
            row[0].opening.tag = row[0].closing.tag = "th"
            row[0].opening.attrSet("scope", "row")
    tokens = table.tokens
    if not any(cell.text.strip() for cell in head):
        tokens[0].attrSet("class", "facts")
        end = next(place for place, token in enumerate(tokens) if token.type == "thead_close")
        tokens = [tokens[0], *tokens[end + 1 :]]
    elif len(body) > 1:
        tokens[0].attrSet("class", "sortable")
    for cell in cells:
        _break_at_joints(cell)
    region = Token("region_open", "div", 1, block=True)
    region.attrs = {
        "class": "table",
        "role": "region",
        "aria-labelledby": identity,
        "tabindex": "0",
    }
    caption = Token("caption_open", "caption", 1, block=True)
    caption.attrs = {"id": identity}
    words = Token("inline", "", 0, children=[Token("text", "", 0, content=name)])
    closing = [Token("caption_close", "caption", -1, block=True)]
    end_of_region = Token("region_close", "div", -1, block=True)
    return [region, tokens[0], caption, words, *closing, *tokens[1:], end_of_region]


def _break_at_joints(cell: _Cell) -> None:
    """Says where long words of a cell may be broken, which changes nothing that is copied."""
    marked: list[Token] = []
    for token in cell.inline.children or []:
        parts = _parts(token.content) if token.type in ("text", "code_inline") else []
        if len(parts) < 2:
            marked.append(token)
            continue
        broken = [Token("text", "", 0, content=parts[0])]
        for part in parts[1:]:
            broken += [Token("joint", "wbr", 0), Token("text", "", 0, content=part)]
        if token.type == "code_inline":
            broken = [Token("code_open", "code", 1), *broken, Token("code_close", "code", -1)]
        marked += broken
    cell.inline.children = marked


def _parts(text: str) -> list[str]:
    """A text, cut at the joints of its long words."""
    cuts = [
        word.start() + joint.start()
        for word in _LONG_WORD.finditer(text)
        for joint in _JOINT.finditer(word.group())
    ]
    ends = [0, *cuts, len(text)]
    return [text[begin:end] for begin, end in pairwise(ends)]


def _class_for_style(cell: _Cell) -> None:
    """Alignment as a class: the page allows no styles in attributes."""
    style = str(cell.opening.attrs.pop("style", ""))
    if style:
        cell.opening.attrSet("class", style.removeprefix("text-align:"))


def _has_values(column: Sequence[_Cell]) -> bool:
    """Marks what is missing, and the values of a column if it holds numbers alone beside that."""
    values = []
    for cell in column:
        if is_missing(cell.text):
            cell.opening.attrSet("data-missing", "")
        else:
            values.append((cell, sort_value(cell.text)))
    if not values or any(value is None for _, value in values):
        return False
    for cell, value in values:
        cell.opening.attrSet("data-value", repr(value))
        for child in cell.inline.children or []:
            child.content = _LOOSE_SPACE.sub("\u00a0", child.content)
    return True
