"""Numbers that a template's expressions bring along instead of taking them from a field."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import nodes

from benchmark.errors import UserError
from benchmark.reporting.template_text import stray_number

_WRITTEN_FROM = {
    "batch": 1, "d": 0, "default": 0, "format": 0, "join": 0, "replace": 1, "slice": 1, "sum": 1,
    "truncate": 2,
}  # fmt: skip
"""Filter → place of its first argument that is written, or becomes part of what is."""
_WRITTEN_NAMES = {"d", "default_value", "end", "fill_with", "new", "start"}
"""Names of such arguments."""
_FORMATS = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[a-zA-Z%]|\{[^{}]*\}")


def check_literals(template: nodes.Template, where: str) -> None:
    """A literal number that can be written is an error with its line.

    Numbers may be arguments of filters and tests, what something is compared with, and places in
    sequences. Texts in expressions are held to what holds of the text around them.
    """
    for node, format_string in _written(template):
        value = node.value
        if isinstance(value, str):
            stray = stray_number(_FORMATS.sub(" ", value) if format_string else value)
        else:
            stray = None if isinstance(value, bool) or value is None else str(value)
        if stray is not None:
            raise _refusal(stray, node.lineno, where)
    for output in template.find_all(nodes.Output):
        for written in output.nodes:
            if not isinstance(written, nodes.TemplateData):
                _check_constant(written, where)


def _check_constant(node: nodes.Expr, where: str) -> None:
    """What no field has a part in, such as the length of a text."""
    try:
        value = node.as_const()
        text = str(value)  # also fails of what is constant and forbidden
    except Exception:
        # Not constant, or wrong in a way that rendering tells better.
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    stray = text if number else stray_number(text)
    if stray is not None:
        raise _refusal(stray, node.lineno, where)


def _refusal(stray: str, line: int, where: str) -> UserError:
    return UserError(
        f"{where} line {line}: {stray} is a number of the template; numbers come from fields alone"
    )


def _written(node: nodes.Node, format_string: bool = False) -> Iterator[tuple[nodes.Const, bool]]:
    """Constants that may be written, and whether each is a format of other values."""
    if isinstance(node, nodes.Const):
        yield node, format_string
        return
    formats: list[nodes.Node] = []
    skipped: list[nodes.Node] = []
    if isinstance(node, nodes.If | nodes.CondExpr | nodes.For):
        skipped = [node.test] if node.test is not None else []
    elif isinstance(node, nodes.Compare | nodes.Test | nodes.Slice):
        return
    elif isinstance(node, nodes.Getitem):
        skipped = [node.arg]
    elif isinstance(node, nodes.Filter):
        if node.name == "format" and node.node is not None:
            formats = [node.node]
        skipped = _arguments_not_written(node)
    elif isinstance(node, nodes.Mod):
        formats = [node.left]
    elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        formats = [node.node.node] if node.node.attr == "format" else []
        if formats:
            yield from _written(formats[0], True)
            skipped = [node.node]
            formats = []
    for child in node.iter_child_nodes():
        if not any(child is other for other in skipped):
            yield from _written(child, any(child is other for other in formats))


def _arguments_not_written(node: nodes.Filter) -> list[nodes.Node]:
    name, args = node.name, list(node.args)
    skipped: list[nodes.Node] = []
    if name == "map" and args and isinstance(args[0], nodes.Const):
        name = str(args[0].value)
        skipped.append(args.pop(0))
    if name != "format":
        skipped += [own for own in node.kwargs if own.key not in _WRITTEN_NAMES]
    return skipped + args[: _WRITTEN_FROM.get(name, len(args))]
