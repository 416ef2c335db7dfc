"""Watches the cells of one run on the workers: hands them out, hears of them, ends what hangs."""

from __future__ import annotations

import functools
import queue
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.config import RunConfig
from benchmark.data.store.seal import DataChangedError
from benchmark.display.durations import duration
from benchmark.errors import GOES_ON, RunError, UserError
from benchmark.records.identity import stable_hash
from benchmark.records.results import Row
from benchmark.runs.failures import explain
from benchmark.runs.plan import Cell, World
from benchmark.runs.runner import not_run
from benchmark.scaleout.flight import Flight
from benchmark.scaleout.inspection import workers_of
from benchmark.scaleout.messages import Answer, Opening, Request
from benchmark.scaleout.order import stages_of
from benchmark.scaleout.placing import Placing
from benchmark.scaleout.roster import Present
from benchmark.scaleout.work import work

if TYPE_CHECKING:
    from distributed import Client, Future

    from benchmark.scaleout.crew import Crew

_TICK_SECONDS = 0.5
_UNHEARD = 5
"""How often a worker may die with a cell that it has not told of: one in line, or gone at once."""


class Watch:
    """The cells of one run until each has a row.

    Args:
        crew: Whose workers they are settled on.
        client: Of its cluster.
        cells: What is to be settled.
        world: What they share.
        config: Of the run.
        inbox: Where messages of these cells arrive.

    Attributes:
        tokens: What messages of these cells are marked with.
    """

    def __init__(
        self,
        crew: Crew,
        client: Client,
        cells: Sequence[tuple[Row, Cell]],
        world: World,
        config: RunConfig,
        inbox: queue.SimpleQueue[Mapping[str, Any]],
    ) -> None:
        self._crew, self._client, self._inbox = crew, client, inbox
        self._world, self._config = world, config
        self._waiting = [
            Flight(row=row, cell=cell, demand={}, stages=stages_of(cell), token=uuid.uuid4().hex)
            for row, cell in cells
        ]
        self._flying: dict[str, Flight] = {}
        self._made: set[str] = set()
        self._rows: dict[str, Row] = {}
        self._stopped = ""
        self.tokens = [flight.token for flight in self._waiting]
        self._placing = Placing(self._look)
        self._opening = Opening(
            config=config.model_copy(
                update={"out": config.out.absolute(), "threads": world.threads}
            ).model_dump_json(by_alias=True),
            tables=crew.tables.made_by,
            command=world.command,
            fingerprint=world.dataset.fingerprint,
            llm=stable_hash(world.llm_facts),
        )

    def settle(self) -> dict[str, Row]:
        """Waits until every cell has a row, by its configuration's hash.

        Raises:
            UserError: A worker is refused, or a whole run's settings do not fit its data.
            RunError: The scheduler is gone.
            KeyboardInterrupt: The command is being ended.
        """
        try:
            while self._waiting or self._flying:
                if self._crew.closing.is_set():
                    raise KeyboardInterrupt
                self._hand_out()
                self._hear()
                self._end_what_hangs()
        except BaseException:
            self._abandon()
            raise
        return self._rows

    def _hand_out(self) -> None:
        """Gives every free worker a cell, and a row to cells that none can hold."""
        self._placing.look()
        self._demand()
        for flight in list(self._waiting):
            if self._stopped:
                self._waiting.remove(flight)
                self._land(flight, not_run(flight.row, self._stopped))
        for flight in list(self._flying.values()):
            if self._placing.stuck(flight):
                self._take_back(flight)
        for flight in [*self._waiting, *self._flying.values()]:
            reason = "" if self._placing.lives(flight) else self._placing.hopeless(flight)
            if reason:
                self._drop(flight)
                self._land(flight, flight.failed(reason))
        while chosen := self._placing.next(self._waiting, self._flying.values(), self._made):
            self._submit(chosen)

    def _demand(self) -> None:
        """What cells ask for, by what the workers name that are there now."""
        demands, world = self._crew.scale.demands, self._world
        named = self._placing.named
        for flight in self._waiting:
            method = flight.cell.method_name
            flight.demand = demands.of(method, world.threads, world.accelerator, named)

    def _look(self) -> Present:
        if self._stopped:  # nobody who comes is given anything
            return Present(workers_of(self._client))
        try:
            fingerprint = self._world.dataset.fingerprint
            return self._crew.workers(self._client, self._config, fingerprint)
        except UserError:
            if not self._changed():
                raise
            return Present(workers_of(self._client))
        except (OSError, TimeoutError) as error:
            raise _gone(error) from None

    def _submit(self, flight: Flight) -> None:
        self._waiting.remove(flight)
        cell, variant = flight.cell, flight.cell.variant
        assert variant is not None  # only answers of models that were not run here have none
        request = Request(
            opening=self._opening,
            task=cell.task_name,
            seed=cell.seed,
            method=cell.method_name,
            settings=dict(variant.settings),
            axes=dict(variant.axes),
            features=variant.features,
            config_hash=cell.config_hash,
            topic=self._crew.topic,
            token=flight.token,
        )
        flight.handed, flight.bound = time.monotonic(), self._placing.bound
        flight.future = self._client.submit(
            work,
            request.model_dump_json(),
            key=f"{cell.method_name}-{uuid.uuid4().hex}",
            resources=dict(flight.demand) or None,
            workers=None if flight.bound is None else sorted(flight.bound),
        )
        flight.worker = ""
        self._flying[flight.token] = flight
        flight.future.add_done_callback(functools.partial(self._done, flight.token))

    def _done(self, token: str, future: Future[str]) -> None:
        self._inbox.put({"token": token, "key": future.key, "what": "done"})

    def _hear(self) -> None:
        """Takes what has arrived, and waits a moment where nothing has."""
        timeout = _TICK_SECONDS
        while True:
            try:
                message = self._inbox.get(timeout=timeout)
            except queue.Empty:
                return
            timeout = 0.0
            flight = self._flying.get(message["token"])
            if flight is None or flight.future is None or message["key"] != flight.future.key:
                continue  # of a cell that has ended, or of a task that was taken back
            if message["what"] == "taken":
                self._begin(flight, message["values"]["worker"])
            elif message["what"] == "done":
                self._end(flight)
            elif not flight.hear(message["what"], time.monotonic()):
                self._crew.view.tell(flight.token, message)

    def _begin(self, flight: Flight, worker: str) -> None:
        if flight.attempts > self._crew.scale.retries:  # the scheduler has more patience than ours
            reason = self._died(flight)
            flight.worker = worker
            self._drop(flight)
            self._land(flight, flight.failed(reason))
            return
        flight.attempts += 1
        flight.worker, flight.begun, flight.open = worker, time.monotonic(), False
        flight.waits = None
        self._crew.view.begin(flight.token, self._world.title_of(flight.cell))
        if flight.attempts > 1:
            note = {"text": f"its worker died; attempt {flight.attempts} on {worker}"}
            self._crew.view.tell(flight.token, {"what": "note", "values": note})

    def _died(self, flight: Flight) -> str:
        deaths = flight.attempts or flight.unheard
        times = "once" if deaths == 1 else f"{deaths} times"
        return f"its worker died {times}, the last was {flight.worker or 'not heard of'}"

    def _end(self, flight: Flight) -> None:
        """A task has ended: with an answer, or because its workers died."""
        from distributed import CancelledError, KilledWorker

        assert flight.future is not None
        try:
            answer = Answer.model_validate_json(flight.future.result())
        except KilledWorker:
            # Dask blames a cell that only stood in line at the worker, too: who begins one tells.
            flight.unheard += not flight.worker
            del self._flying[flight.token]
            self._again(flight)
            return
        except (CancelledError, OSError) as error:
            raise _gone(error) from None
        except Exception as error:  # of the worker's own code: the others' cells go on
            del self._flying[flight.token]
            self._land(flight, flight.failed(explain(error)))
            return
        del self._flying[flight.token]
        if answer.row is None:
            if not self._changed():
                refused = answer.kind == "refused"
                raise UserError(f"worker {flight.worker} {answer.text}" if refused else answer.text)
            self._land(flight, flight.failed(self._stopped))
            return
        if answer.kind == "stopped":
            self._stopped = answer.row.error
        self._land(flight, flight.settled(answer.row), answer.said)

    def _take_back(self, flight: Flight) -> None:
        """Takes back a cell that nobody has begun, or whose worker died: others may be free."""
        assert flight.future is not None
        flight.future.cancel()
        del self._flying[flight.token]
        there = self._placing.workers.keys() | self._placing.silent.keys()
        # A cell that ends whatever worker it comes to is not handed out for ever.
        flight.unheard += not (flight.worker or flight.bound is None or flight.bound & there)
        self._again(flight)

    def _again(self, flight: Flight) -> None:
        """Puts a cell back in line, unless too many workers have died with it."""
        if flight.attempts <= self._crew.scale.retries and flight.unheard <= _UNHEARD:
            self._waiting.insert(0, flight)
        else:
            self._land(flight, flight.failed(self._died(flight)))

    def _changed(self) -> bool:
        """Whether the data changed under the run: workers that open them now are not to blame."""
        try:
            self._world.check_data()
        except DataChangedError as error:
            self._stopped = str(error)
            return True
        return False

    def _end_what_hangs(self) -> None:
        """Gives up cells that have had their time, and ends the processes that they hang in."""
        limit = self._crew.scale.cell_seconds
        if limit is None:
            return
        for flight in list(self._flying.values()):
            if self._placing.lives(flight) and flight.late(limit, time.monotonic()):
                self._drop(flight)
                reason = f"not done after {duration(limit)} (--cell-seconds): given up"
                self._land(flight, flight.failed(reason))

    def _drop(self, flight: Flight) -> None:
        """Takes a cell back; a worker that has it is ended, and its nanny starts another."""
        if self._flying.pop(flight.token, None) is None:
            self._waiting.remove(flight)
        if flight.future is not None:
            flight.future.cancel()
        if flight.worker:
            self._restart([flight.worker])

    def _restart(self, workers: Sequence[str]) -> None:
        nannies = {address for address, own in workers_of(self._client).items() if own.get("nanny")}
        there = [address for address in workers if address in nannies]
        if there:
            self._client.restart_workers(there, timeout=60, raise_for_error=False)

    def _land(self, flight: Flight, row: Row, said: str = "") -> None:
        """A cell has its row."""
        if row.record is not None:
            self._made |= flight.stages
        self._rows[flight.cell.config_hash] = row
        self._crew.view.finish(flight.token, said or (f"failed: {row.error}" if row.error else ""))

    def _abandon(self) -> None:
        """Leaves nothing of this run on workers that stay."""
        flying, self._flying = list(self._flying.values()), {}
        try:
            self._client.cancel([own.future for own in flying if own.future is not None])
            if self._crew.scale.scheduler is not None:
                self._restart([own.worker for own in flying if own.worker])
        except (OSError, TimeoutError, RuntimeError):
            return  # the cluster is gone, and with it what ran there


def _gone(error: BaseException) -> RunError:
    # Of a cell that is cancelled Dask says its own name for it.
    reason = f" ({explain(error)})" if isinstance(error, OSError) else ""
    return RunError(f"the scheduler is gone{reason}: {GOES_ON}")
