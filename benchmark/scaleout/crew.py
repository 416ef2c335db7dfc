"""Settles the cells of runs on the workers of a cluster."""

from __future__ import annotations

import contextlib
import queue
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from benchmark.config import RunConfig
from benchmark.display.progress import RunProgress
from benchmark.records.results import Row
from benchmark.runs.plan import Cell, World
from benchmark.runs.runner import settle_in_turn, to_run
from benchmark.scaleout.cluster import connected
from benchmark.scaleout.inspection import Inspector, check_scheduler, workers_of
from benchmark.scaleout.roster import Present, Roster
from benchmark.scaleout.scale import Scale
from benchmark.scaleout.view import View
from benchmark.scaleout.watch import Watch
from benchmark.tables import Tables

if TYPE_CHECKING:
    from distributed import Client


class Crew:
    """The workers of one command; its `settle` is a `benchmark.runs.runner.Settling`.

    Several threads may settle at once, each the cells of a run of its own.

    Args:
        scale: What is asked for.
        tables: What can be named; workers make them again by `made_by`.
        stream: Where progress is written.
    """

    def __init__(self, scale: Scale, tables: Tables, stream: TextIO) -> None:
        self.scale, self.tables, self.view = scale, tables, View(stream)
        self.topic = f"userllm-bench-{uuid.uuid4().hex}"
        self._stack = contextlib.ExitStack()
        self._starting = threading.Lock()
        self._client: Client | None = None
        self._inboxes: dict[str, queue.SimpleQueue[Mapping[str, Any]]] = {}
        self._looking = threading.Lock()
        self._roster = Roster(self.progress("").note)
        self.closing = threading.Event()

    def start(self, most: int, threads: int, accelerator: str) -> int:
        """Starts the cluster where it is not running yet.

        Args:
            most: Cells that may run at once.
            threads: Of a cell.
            accelerator: `cpu` or `gpu`.

        Returns:
            Its workers; at least 1.

        Raises:
            UserError: The scheduler does not answer.
        """
        return max(1, len(workers_of(self._started(most, threads, accelerator))))

    def progress(self, title: str) -> RunProgress:
        """Lines beside those of cells, with a title of their own."""
        return self.view.progress(title)

    def _started(self, most: int, threads: int, accelerator: str) -> Client:
        with self._starting:
            if self._client is None:
                client = self._stack.enter_context(
                    connected(self.scale, threads, accelerator, most)
                )
                if self.scale.scheduler is not None:
                    check_scheduler(client, self.scale.scheduler)
                client.subscribe_topic(self.topic, self._deliver)
                self.progress("").note(f"Dask dashboard: {client.dashboard_link}")
                self._client = client
            return self._client

    def settle(
        self,
        cells: Sequence[tuple[Row, Cell]],
        world: World,
        config: RunConfig,
        progress: RunProgress,
    ) -> dict[str, Row]:
        """See `benchmark.runs.runner.Settling`; cells that are finished need no worker."""
        finished, left = [], []
        for row, cell in cells:
            if to_run(cell, progress, config.force):
                left.append((row, cell))
            else:
                finished.append((row, cell))
        settled = settle_in_turn(finished, world, config, progress)
        if not left:
            return settled
        client = self._started(len(left), world.threads, world.accelerator)
        inbox: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        watch = Watch(self, client, left, world, config, inbox)
        self._inboxes.update(dict.fromkeys(watch.tokens, inbox))
        try:
            return settled | watch.settle()
        finally:
            for token in watch.tokens:
                del self._inboxes[token]

    def close(self) -> None:
        """Ends what runs for this command, and a cluster that it started."""
        self.closing.set()
        self._roster.close()
        self._stack.close()

    def workers(self, client: Client, config: RunConfig, fingerprint: str) -> Present:
        """The workers that are there, each looked at once; does not wait for them.

        Raises:
            UserError: One is refused, see `Inspector`, or none has ever answered.
            OSError: The scheduler is gone.
        """
        inspector = Inspector(
            client,
            config,
            fingerprint,
            ended=self.scale.cell_seconds is not None,
            foreign=self.scale.scheduler is not None,
        )
        with self._looking:
            return self._roster.look(workers_of(client), inspector)

    def _deliver(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Hands a worker's message to whoever settles its cell; called by Dask's own thread."""
        message = event[1]
        inbox = self._inboxes.get(message["token"])
        if inbox is not None:
            inbox.put(message)


@contextlib.contextmanager
def crew_of(scale: Scale, tables: Tables, stream: TextIO) -> Iterator[Crew]:
    """The workers of a command, ended with the block whatever happens in it.

    Raises:
        UserError: Something is asked for a method that nobody knows; the scheduler does not answer.
    """
    for method in scale.demands.methods:
        tables.methods[method]
    crew = Crew(scale, tables, stream)
    try:
        if scale.scheduler is not None:  # one that does not answer is said before data are opened
            crew.start(1, 1, "cpu")
        yield crew
    finally:
        crew.close()
