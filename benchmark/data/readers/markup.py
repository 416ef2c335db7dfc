"""Texts of web pages as plain text: entities, tags and the marks that shops put between words."""

from __future__ import annotations

import html
import re

import polars as pl

LONGEST_TITLE = 400
"""Characters; a longer title is a piece of a page, not the name of anything."""

_UNSEEN = re.compile(r"<!--.*?-->|<(script|style)\b[^>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
# A tag begins with a letter right after the bracket, so "I <3 it" and "5 < 6 > 4" are left alone.
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<![a-zA-Z][^<>]*>")
# Amazon's own marks in reviews: a video is nothing to read, of a product the name is.
_VIDEO = re.compile(r"\[\[VIDEOID:[^\]]*\]\]")
_PRODUCT = re.compile(r"\[\[ASIN:\S*\s*([^\]]*)\]\]")
# What the crawl of 2014 made of "J&R": a semicolon behind everything that follows an ampersand.
_NO_ENTITY = re.compile(r"&(\w+);")
_MARKED = r"[<&]|\[\["
# Code, style sheets, and any tag but those that merely set a word in another type.
_INLINE = r"</?(?:b|i|em|strong|sub|sup|u|br)\s*/?>"
_DEBRIS = r"(?i)getTime\(|function\s*\(|^\s*var\s+\w+\s*=|\{\s*[\w-]+\s*:|</?[a-z][^<>]*>|<!"
_CONTROL = r"[\p{Cc}\u200b\u200e\u200f\ufeff]"


def plain(text: str) -> str:
    """A text without tags, with entities spelt out; blanks are left as they are."""
    # Twice: the publishers' crawls hold "&amp;#34;", and tags written as "&lt;br /&gt;".
    for _ in range(2):
        text = _UNSEEN.sub(" ", text)
        text = html.unescape(_TAG.sub(" ", text))
    text = _NO_ENTITY.sub(r"&\1", _TAG.sub(" ", _UNSEEN.sub(" ", text)))
    return _PRODUCT.sub(r"\1", _VIDEO.sub(" ", text))


def clean(texts: pl.Series) -> pl.Series:
    """Texts on one line each, without tags and entities; null where nothing is left.

    Args:
        texts: Strings, null where there is none.
    """
    marked = texts.str.contains(_MARKED).fill_null(False)
    # Python reads only the texts that have a mark at all: a few in a hundred.
    fixed = [plain(text) for text in texts.filter(marked)]
    if fixed:
        texts = texts.scatter(marked.arg_true(), pl.Series(fixed, dtype=pl.String))
    tidy = texts.str.replace_all(r"\s+", " ").str.replace_all(_CONTROL, "").str.strip_chars()
    return tidy.set(tidy == "", None)


def clean_titles(titles: pl.Series) -> tuple[pl.Series, int]:
    """Titles as `clean` has texts; those that are pieces of a page's code become null.

    Args:
        titles: As the publisher has them, null where there is none.

    Returns:
        The titles, and how many were debris.
    """
    bare = titles.str.replace_all(f"(?i){_INLINE}", " ")
    debris = bare.str.contains(_DEBRIS) | (bare.str.len_chars() > LONGEST_TITLE)
    debris = debris.fill_null(False)
    return clean(titles.set(debris, None)), int(debris.sum())
