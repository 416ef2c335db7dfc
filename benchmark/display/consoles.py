"""Rich's console for foreign text: no markup, no escapes but rich's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from benchmark.display.terminal import behind
from benchmark.display.visible import LINE, bounded, visible


class _Console(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        """Plain text, whatever brackets and colons it holds; styles come from the caller."""
        shown = visible(text, keep_lines=True) if len(text) <= LINE else bounded(text)
        return super().render_str(shown, **options | {"markup": False, "emoji": False})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Segments without control characters but rich's own."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible(segment.text, keep_lines=True), segment.style)


def open_console(stream: TextIO, **options: Any) -> Console:
    """A console on a stream.

    Args:
        stream: A terminal or not.
        options: Of rich's `Console`.
    """
    return _Console(file=behind(stream), highlight=False, **options)
