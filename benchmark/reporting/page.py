"""One self-contained page of HTML from a report's Markdown."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from benchmark.display.visible import visible
from benchmark.reporting.page_figures import place_figures
from benchmark.reporting.page_tables import mark_tables, plain_text

_OWN_NAMES = ("report", "contents", "status")
"""Names of parts of the page, which no heading may take."""


def make_page(markdown: str, *, title: str, folder: Path) -> str:
    """Turns Markdown into a page that needs nothing beside itself and asks nobody for anything.

    Tables can be sorted where scripts run and are plain tables elsewhere. HTML in the Markdown
    is shown as text.

    Args:
        markdown: The report.
        title: What the window is called.
        folder: What paths of figures are relative to.

    Returns:
        HTML 5, with styles, script and figures inside.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = _focus_code(mark_tables(place_figures(parser.parse(markdown), folder)))
    sections = _name_headings(tokens)
    _mark_links(tokens)
    body = parser.renderer.render(tokens, parser.options, {})
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="userllm-bench">
<title>{html.escape(visible(title, keep_lines=True))}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#report">Skip to the report</a>
<div class="layout">
{_navigation(sections)}<main id="report" tabindex="-1">
{body}</main>
</div>
<div id="status" role="status" aria-live="polite"></div>
<script>{script}</script>
</body>
</html>
"""


def _name_headings(tokens: Sequence[Token]) -> list[tuple[str, str]]:
    """Gives each heading a name and a link to itself.

    Returns:
        Name and text of those of the second level.
    """
    taken = set(_OWN_NAMES)
    sections = []
    for place, token in enumerate(tokens):
        if token.type != "heading_open":
            continue
        inline = tokens[place + 1]
        text = plain_text(inline.children or [])
        name = _free_name(text, taken)
        taken.add(name)
        token.attrSet("id", name)
        if token.tag == "h2":
            sections.append((name, text))
        if token.tag != "h1":
            opening = Token("link_open", "a", 1)
            opening.attrs = {"class": "anchor", "href": f"#{name}", "aria-label": f"Link to {text}"}
            mark, closing = Token("text", "", 0, content="#"), Token("link_close", "a", -1)
            inline.children = [*(inline.children or []), opening, mark, closing]
    return sections


def _free_name(text: str, taken: set[str]) -> str:
    """Letters and digits of a heading with hyphens between, and a number where it is taken."""
    base = re.sub(r"[\W_]+", "-", text.lower()).strip("-") or "section"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def _focus_code(tokens: Sequence[Token]) -> list[Token]:
    """Code as a region that the keyboard can scroll."""
    marked = []
    for token in tokens:
        if token.type == "fence" or token.type == "code_block":
            opening = Token("pre_open", "pre", 1)
            opening.attrs = {"tabindex": "0", "role": "region", "aria-label": "Code"}
            code = Token("code_inline", "code", 0, content=token.content)
            marked += [opening, code, Token("pre_close", "pre", -1)]
        else:
            marked.append(token)
    return marked


def _mark_links(tokens: Sequence[Token]) -> None:
    """Links that leave the page tell nobody where they were."""
    for token in tokens:
        for child in token.children or []:
            if child.type == "link_open" and "://" in str(child.attrs["href"]):
                child.attrSet("rel", "noopener noreferrer")


def _navigation(sections: Sequence[tuple[str, str]]) -> str:
    if not sections:
        return ""
    links = "\n".join(
        f'<li><a href="#{html.escape(name)}">{html.escape(text)}</a></li>'
        for name, text in sections
    )
    return (
        '<nav id="contents" aria-label="Contents"><details open><summary>Contents</summary>\n'
        f"<ul>\n{links}\n</ul></details></nav>\n"
    )


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What the page's policy knows a style or script by."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
