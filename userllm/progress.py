"""Where fitting says how far it is when no harness listens."""

from __future__ import annotations

import sys


class Silent:
    """Progress that says nothing."""

    def stage(self, name: str, total_epochs: float | None = None) -> None:
        """See `benchmark.types.Progress`."""

    def update(self, epoch: float, loss: float | None = None, value: float | None = None) -> None:
        """See `benchmark.types.Progress`."""

    def note(self, text: str) -> None:
        """See `benchmark.types.Progress`."""


class Printed(Silent):
    """Progress as lines on stderr, ten a stage."""

    def stage(self, name: str, total_epochs: float | None = None) -> None:
        """A stage begins."""
        self._name, self._total, self._said = name, total_epochs or 1.0, 0

    def update(self, epoch: float, loss: float | None = None, value: float | None = None) -> None:
        """The stage is at `epoch`."""
        share = int(10 * epoch / self._total)
        if share > self._said:
            self._said = share
            told = "" if loss is None else f", loss {loss:.3f}"
            print(f"{self._name}: {10 * share}%{told}", file=sys.stderr)

    def note(self, text: str) -> None:
        """A line the reader should see."""
        print(text, file=sys.stderr)
