"""Says on stderr how far a run is: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Protocol, TextIO

from benchmark.display.durations import duration
from benchmark.display.visible import NAME, bounded
from benchmark.types import Progress

_SECONDS_BETWEEN_LINES = 5.0


class RunProgress(Progress, Protocol):
    """What the runner says beside what a method says."""

    def begin(self, title: str) -> None:
        """A cell begins."""
        ...

    def finish(self, text: str) -> None:
        """The cell ends, well or not, as the text says."""
        ...

    def close(self) -> None:
        """Nothing follows."""
        ...


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


class Pace:
    """Where a stage is and how long it may still take.

    Args:
        clock: Seconds from any origin.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.restart("", None)

    def restart(self, stage: str, total: float | None) -> None:
        """A stage begins."""
        self.stage, self.total, self.begun = stage, total, self.clock()
        self.epoch, self.loss, self.value = 0.0, None, None  # type: tuple[float, float | None, float | None]

    def update(self, epoch: float, loss: float | None, value: float | None) -> None:
        """The stage is at `epoch`; what is None keeps its last value."""
        self.epoch = epoch
        self.loss = self.loss if loss is None else loss
        self.value = self.value if value is None else value

    @property
    def left_seconds(self) -> float | None:
        """Seconds left by the pace so far, None where nobody knows."""
        if not self.total or self.epoch <= 0:
            return None
        taken = self.clock() - self.begun
        return max(0.0, taken * (self.total - self.epoch) / self.epoch)

    def describe(self) -> str:
        """Epoch, loss and validation value."""
        total = f"/{_short(self.total)}" if self.total else ""
        parts = [f"epoch {_short(self.epoch)}{total}"]
        if self.loss is not None:
            parts.append(f"loss {self.loss:.3f}")
        if self.value is not None:
            parts.append(f"validation {self.value:.4f}")
        return ", ".join(parts)


class PlainProgress:
    """Lines without control characters, at most one every few seconds inside a stage.

    Args:
        stream: Where to write.
        clock: Seconds from any origin.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.pace = Pace(clock)
        self.title = ""
        self.last_line = clock()

    def begin(self, title: str) -> None:
        """See `RunProgress`."""
        self._end_stage()
        self.title = title
        self.pace.restart("", None)
        self._line(title)

    def stage(self, name: str, total_epochs: float | None = None) -> None:
        """See `Progress`."""
        self._end_stage()
        self.pace.restart(name, total_epochs)
        self._line(f"{self.title}: {name}")

    def update(self, epoch: float, loss: float | None = None, value: float | None = None) -> None:
        """See `Progress`."""
        self.pace.update(epoch, loss, value)
        if self.pace.clock() - self.last_line >= _SECONDS_BETWEEN_LINES:
            left = self.pace.left_seconds
            rest = "" if left is None else f", {duration(left)} left"
            self._line(f"{self.title}: {self.pace.stage}: {self.pace.describe()}{rest}")

    def note(self, text: str) -> None:
        """See `Progress`."""
        self._line(f"{self.title}: {text}" if self.title else text)

    def finish(self, text: str) -> None:
        """See `RunProgress`."""
        self._end_stage()
        self.note(text)

    def close(self) -> None:
        """See `RunProgress`."""
        self._end_stage()
        self.title = ""

    def _end_stage(self) -> None:
        if self.pace.stage and self.pace.epoch > 0:
            taken = duration(self.pace.clock() - self.pace.begun)
            self._line(
                f"{self.title}: {self.pace.stage} ends after {taken}: {self.pace.describe()}"
            )
        self.pace.restart("", None)

    def _line(self, text: str) -> None:
        self.last_line = self.pace.clock()
        print(bounded(text), file=self.stream, flush=True)


class TerminalProgress:
    """One live bar a stage, by rich.

    Args:
        stream: A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        from benchmark.display.consoles import open_console

        self.pace = Pace()
        self.console = open_console(stream)
        self.title = ""
        self.bars = Bars(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[facts]}", markup=False),
            console=self.console,
            transient=True,
            refresh_per_second=4,
        )
        self.bars.start()
        self.task = self.bars.add_task("", total=None, facts="")

    def begin(self, title: str) -> None:
        """See `RunProgress`."""
        self._end_stage()
        self.title = title
        self.pace.restart("", None)
        self.bars.reset(self.task, total=None, description=bounded(title, NAME), facts="")

    def stage(self, name: str, total_epochs: float | None = None) -> None:
        """See `Progress`."""
        self._end_stage()
        self.pace.restart(name, total_epochs)
        self.bars.reset(
            self.task,
            total=total_epochs,
            description=bounded(f"{self.title}: {name}", NAME),
            facts="",
        )

    def update(self, epoch: float, loss: float | None = None, value: float | None = None) -> None:
        """See `Progress`."""
        self.pace.update(epoch, loss, value)
        left = self.pace.left_seconds
        rest = "" if left is None else f", {duration(left)} left"
        facts = self.pace.describe() + rest
        self.bars.update(self.task, completed=epoch, facts=facts)

    def note(self, text: str) -> None:
        """See `Progress`."""
        line = f"{self.title}: {text}" if self.title else text
        self.console.print(bounded(line))

    def finish(self, text: str) -> None:
        """See `RunProgress`."""
        self._end_stage()
        self.note(text)

    def close(self) -> None:
        """See `RunProgress`."""
        self._end_stage()
        self.bars.stop()

    def _end_stage(self) -> None:
        if self.pace.stage and self.pace.epoch > 0:
            taken = duration(self.pace.clock() - self.pace.begun)
            self.note(f"{self.pace.stage} took {taken}: {self.pace.describe()}")
        self.pace.restart("", None)


def open_progress(stream: TextIO | None = None) -> RunProgress:
    """Bars where the stream (stderr) is a terminal, plain lines elsewhere."""
    stream = sys.stderr if stream is None else stream
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return TerminalProgress(stream)
    return PlainProgress(stream)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silences what Lightning, transformers and tqdm say by themselves, and keeps stdout clean."""
    os.environ.update(
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        TOKENIZERS_PARALLELISM="false",
        TQDM_DISABLE="1",
        TRANSFORMERS_VERBOSITY="error",
    )
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
