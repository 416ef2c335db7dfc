"""Figures of a page, held in the page itself."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it.token import Token

from benchmark.reporting.page_tables import plain_text

_PNG = b"\x89PNG\r\n\x1a\n"
_BREAKS = ("softbreak", "hardbreak")


def place_figures(tokens: Sequence[Token], folder: Path) -> list[Token]:
    """The tokens of a document with its images embedded.

    An image that begins a paragraph becomes a figure; what follows it in the paragraph is its
    caption, else its title, else its alternative text.

    Args:
        tokens: Of the whole document.
        folder: What paths are relative to.
    """
    placed: list[Token] = []
    skip = 0
    for place, token in enumerate(tokens):
        if skip:
            skip -= 1
        elif _is_figure(tokens, place):
            placed += _figures(tokens[place + 1].children or [], folder)
            skip = 2
        else:
            if token.type == "inline":
                token.children = [
                    part for child in token.children or [] for part in _image(child, folder)
                ]
            placed.append(token)
    return placed


def _is_figure(tokens: Sequence[Token], place: int) -> bool:
    token = tokens[place]
    if token.type != "paragraph_open" or token.hidden:
        return False
    children = tokens[place + 1].children or []
    after = children[1:2]
    return children[0].type == "image" and (not after or after[0].type in _BREAKS)


def _figures(children: Sequence[Token], folder: Path) -> list[Token]:
    """One figure for each image that begins the paragraph."""
    images: list[Token] = []
    rest = list(children)
    while rest and rest[0].type in ("image", *_BREAKS):
        images += [rest[0]] if rest[0].type == "image" else []
        del rest[0]
    figures = []
    for image in images:
        shown = _image(image, folder)
        words = str(image.attrs.pop("title", ""))
        if not words and shown == [image]:
            words = plain_text(image.children or [])
        caption = [Token("text", "", 0, content=words)] if words else []
        if image is images[-1] and rest:
            caption = [part for child in rest for part in _image(child, folder)]
        figures += [
            Token("figure_open", "figure", 1, block=True),
            Token("inline", "", 0, children=shown),
            *(_around("figcaption", caption) if caption else []),
            Token("figure_close", "figure", -1, block=True),
        ]
    return figures


def _around(tag: str, children: list[Token]) -> list[Token]:
    return [
        Token(f"{tag}_open", tag, 1, block=True),
        Token("inline", "", 0, children=children),
        Token(f"{tag}_close", tag, -1, block=True),
    ]


def _image(token: Token, folder: Path) -> list[Token]:
    """An image with its data, or words in its place where there is no such file."""
    if token.type != "image":
        return [token]
    source = _data(str(token.attrs["src"]), folder)
    if source is not None:
        token.attrs["src"] = source
        return [token]
    words = plain_text(token.children or [])
    opening = Token("missing_open", "span", 1)
    opening.attrs = {"class": "missing"}
    text = f"{words} (figure missing)" if words else "figure missing"
    return [opening, Token("text", "", 0, content=text), Token("missing_close", "span", -1)]


def _data(source: str, folder: Path) -> str | None:
    """The picture as `data:`, None where it is not a PNG or SVG file at a relative path."""
    address = urlsplit(source)
    path = unquote(address.path)
    if address.scheme or address.netloc or not path or path.startswith("/"):
        return None
    try:
        content = (folder / path).read_bytes()
    except (OSError, ValueError):
        return None
    if content.startswith(_PNG):
        kind = "png"
    elif b"<svg" in content[:2000]:
        kind = "svg+xml"
    else:
        return None
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
