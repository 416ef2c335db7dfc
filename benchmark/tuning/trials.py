"""Searches for the settings of one method: trials are cells of an ordinary run, on validation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from benchmark import config as configs
from benchmark.display.durations import duration
from benchmark.display.progress import RunProgress
from benchmark.errors import RunError, UserError
from benchmark.records.results import Row, RunRecord
from benchmark.runs.failures import FULL_DISK_TEXT
from benchmark.runs.plan import Cell, World
from benchmark.runs.planning import planned_cells
from benchmark.runs.runner import Settling, run
from benchmark.settings import nest
from benchmark.system.locking import locked
from benchmark.tables import Tables
from benchmark.tuning.entry import facts_of, make_entry
from benchmark.tuning.search import Outcome, Search
from benchmark.tuning.space import Space
from benchmark.tuning.study import Attempt, Study, Suggestion
from benchmark.tuning.tuned import Below, Entries, outdated, read_tuned, standing_on, write_tuned
from benchmark.variants import Variant

AXIS = "trial"
"""What a trial is called by in its record."""


def tune_method(
    method: str,
    space: Space,
    search: Search,
    world: World,
    progress: RunProgress,
    settling: Settling,
) -> Outcome:
    """Tries settings of one method until trials or time are used up; one trial always runs.

    Args:
        method: Its name.
        space: What is searched.
        search: What was asked.
        world: Of the search's run.
        progress: Is told how far it is.
        settling: Who runs the trials.

    Raises:
        UserError: Trials of another search lie where its own would.
        RunError: The disk is full, or the data changed.
    """
    journal = search.journal(method)
    waiting = f"another call searches settings of {method}; waiting for it"
    with locked(journal.parent, journal.name, progress.note, waiting):
        entries = read_tuned(search.file)
        if search.anew:
            journal.unlink(missing_ok=True)
        elif method in entries and not journal.exists():
            raise UserError(
                f"{search.file} has settings of {method} whose trials are not here: --force "
                "searches anew, another --out leaves them"
            )
        config, below = _standing(method, search, entries)
        row, cell = next(iter(_as_is(method, config, search.tables, world)))
        if cell is None:
            return Outcome(method, na=row.na or row.error)
        facts = facts_of(cell, space, search, world)
        study = Study(journal, space, facts, config.seeds[0])
        entry, notes = None, []  # type: dict[str, Any] | None, list[str]
        while True:
            attempts = study.attempts()
            if study.best() is not None:
                entry, notes = _keep(
                    method, make_entry(study, search, world, cell, below), search, progress
                )
            spent = below.seconds + sum(own.seconds for own in attempts)
            if attempts and (len(attempts) >= search.trials or spent >= search.seconds):
                found = tuple(attempts)
                return Outcome(method, "", entry, found, tuple(notes), below.seconds)
            suggestion = study.suggest()
            world.check_data()
            attempt = _try(method, suggestion, config, search, progress, settling)
            world.check_data()  # a trial opens the data itself: on others it is none of this search
            study.add(suggestion, attempt)
            _tell(attempt, study, below, spent + attempt.seconds, search, progress)


def first_trials(methods: Iterable[str], search: Search, world: World) -> list[Cell]:
    """What is certain to be tried: of methods that nothing was tried of, the settings as they are.

    What has an encoder in its slot is left out: it stands on what the encoder's search finds.
    """
    return [
        cell
        for method in methods
        if search.anew or not search.journal(method).exists()
        for _, cell in _as_is(method, search.config, search.tables, world)
        if cell is not None and cell.encoder is None
    ]


def _standing(method: str, search: Search, entries: Entries) -> tuple[configs.RunConfig, Below]:
    """The run on top of what the file says of the encoder in the method's slot, and that."""
    encoder = configs.read_layers(search.config, search.tables).encoder(search.tables, method)
    if encoder is None or encoder == method:
        return search.config, Below()
    below = standing_on(encoder, entries)
    sections = {**search.config.sections, encoder: nest(below.settings[encoder])}
    return search.config.model_copy(update={"sections": sections}), below


def _as_is(
    method: str, config: configs.RunConfig, tables: Tables, world: World
) -> Iterator[tuple[Row, Cell | None]]:
    layers = configs.read_layers(config, tables)
    return planned_cells(config, tables, layers, world, [Variant(method, axes={AXIS: 0})])


def _try(
    method: str,
    suggestion: Suggestion,
    config: configs.RunConfig,
    search: Search,
    progress: RunProgress,
    settling: Settling,
) -> Attempt:
    """Runs one trial; what goes wrong in it is its reason to have failed."""
    # The first runs as it is, so that it is the very cell that nobody has tuned.
    settings = nest(suggestion.settings) if suggestion.number else {}
    named = {method: settings} if settings else {}
    variant = Variant(method, named, axes={AXIS: suggestion.number})
    began = time.perf_counter()
    (row,) = run(config, search.tables, progress, search.command, [variant], settling)
    if row.error == FULL_DISK_TEXT:
        raise RunError(row.error)
    record, reason = row.record, row.error or row.na
    value = record.metrics.get(search.metric) if record else None
    if record is None:
        taken = time.perf_counter() - began
    else:
        taken = seconds_of(record)
        reason = "" if value is not None else f"{search.metric} was not measured"
    return Attempt(
        number=suggestion.number,
        state="failed" if value is None else "finished",
        value=value,
        seconds=round(taken, 2),
        settings=suggestion.settings,
        reason=reason,
        config_hash=record.config_hash if record else "",
    )


def seconds_of(record: RunRecord) -> float:
    """What a trial costs: a stage from the cache counts with the seconds of its making.

    Else what a search may try would hang on what ran before it.
    """
    reused = sum(stage.seconds for stage in record.fit.stages if stage.reused)
    return record.fit.wall_seconds + record.evaluation_seconds + reused


def _tell(
    attempt: Attempt,
    study: Study,
    below: Below,
    spent: float,
    search: Search,
    progress: RunProgress,
) -> None:
    best = study.best()
    value = attempt.reason if attempt.value is None else f"{search.metric} {attempt.value:.4f}"
    so_far = "" if best is None else f", best {best.value:.4f} (trial {best.number})"
    of_encoder = f" ({duration(below.seconds)} its encoder's search)" if below.seconds else ""
    progress.note(
        f"{attempt.state}: {value}{so_far}; {duration(spent)} of {duration(search.seconds)}"
        f"{of_encoder}"
    )


def _keep(
    method: str, entry: dict[str, Any], search: Search, progress: RunProgress
) -> tuple[dict[str, Any], list[str]]:
    """Writes what is new of one method and leaves the others as they are.

    Returns:
        What the file says of the method then, and what should be known of others.
    """
    waiting = f"another call writes {search.file}; waiting for it"
    with locked(search.config.out, search.file.name, progress.note, waiting):
        entries = read_tuned(search.file)
        # A call that tried nothing is not to say that it made what an earlier one found.
        if entries.get(method, {}).get("history") != entry["history"]:
            entries[method] = entry
            write_tuned(search.file, entries, search.tables)
    return entries[method], outdated(entries)
