"""What a model that is run elsewhere needs to join a comparison. No test target is in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl

from benchmark.data.dataset import Dataset
from benchmark.data.store.parquet import readable, text_column
from benchmark.errors import UserError
from benchmark.events import EventLog
from benchmark.importing.judge import Asked, Judge
from benchmark.importing.predictions import TARGET_HASH
from benchmark.protocols import TrainingData
from benchmark.registry import load
from benchmark.runs.plan import World
from benchmark.schema import ITEM, TEXT, TIMESTAMP, USER
from benchmark.system.durable import alone_in, whole_file
from benchmark.tables import Tables

TRAIN, ITEMS, VALIDATION, QUESTIONS = "train", "items", "validation", "questions"


def export(world: World, task: str, tables: Tables, folder: Path) -> dict[Path, int]:
    """Writes the files of a task.

    Args:
        world: The data, divided.
        task: Whose questions.
        tables: What can be named.
        folder: Where to; other files in it stay.

    Returns:
        Rows of each file.

    Raises:
        UserError: Answers to the task cannot be imported, or the folder cannot be written.
    """
    if not tables.tasks[task].answers:
        raise UserError(f"answers to {task} cannot be imported")
    judge = cast("Judge", load(tables.tasks[task].answers))
    split, dataset = world.splits[task], world.dataset

    def asked(part: str) -> Asked:
        return judge.ask(world.tasks[task], split, dataset, part)

    questions = asked(world.part)
    frames = {
        TRAIN: training_events(split.train, dataset),
        ITEMS: items(split.train),
        QUESTIONS: histories(questions, dataset),
    }
    if world.part != VALIDATION:  # its targets would be the answers
        told = asked(VALIDATION)
        frames[VALIDATION] = histories(told, dataset).with_columns(**told.targets)
    facts = {
        TARGET_HASH: split.target_hash,
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "task": task,
        "split": world.split_name,
        "part": world.part,
        "seen": world.seen,
        **questions.facts,
    }
    written = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{VALIDATION}.parquet").unlink(missing_ok=True)
        for name, frame in frames.items():
            path = folder / f"{name}.parquet"
            _write(frame, path, facts if name == QUESTIONS else {})
            written[path] = len(frame)
    except OSError as error:
        raise UserError(f"--out {folder} cannot be written: {error.strerror or error}") from None
    return written


def training_events(train: TrainingData, dataset: Dataset) -> pl.DataFrame:
    """Training events, a row each, by user and then by time."""
    log = train.events
    users = text_column(dataset.users.external_ids)
    owner = users.gather(np.repeat(np.arange(log.num_users), log.lengths))
    columns = event_columns(log, np.arange(log.num_events), dataset)
    return pl.DataFrame({USER: owner, **columns})


def items(train: TrainingData) -> pl.DataFrame:
    """The catalogue: `item`, `text`, and what follows from an item."""
    catalog = train.catalog
    features = {
        feature.name: readable(feature, catalog.columns[feature.name][1:])
        for feature in train.schema
        if feature.of_item
    }
    ids, texts = text_column(catalog.items.external_ids), text_column(catalog.texts)[1:]
    return pl.DataFrame({ITEM: ids, TEXT: texts, **features})


def histories(asked: Asked, dataset: Dataset) -> pl.DataFrame:
    """Who is asked: `user`, what is told, and the history as lists, oldest event first.

    The lists are called `history_` and what a column of the training events is called.
    """
    own = asked.examples
    starts = np.maximum(own.starts, own.stops - asked.window) if asked.window else own.starts
    lengths = own.stops - starts
    owner = np.repeat(np.arange(len(own)), lengths)
    places = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(len(owner))
    events = pl.DataFrame({"row": owner, **event_columns(own.log, places, dataset)})
    lists = events.group_by("row", maintain_order=True).agg(pl.all().name.prefix("history_"))
    users = pl.Series(asked.users(dataset), dtype=pl.String)
    return pl.DataFrame({USER: users, **asked.given, **lists.drop("row").to_dict()})


def event_columns(log: EventLog, places: np.ndarray, dataset: Dataset) -> dict[str, pl.Series]:
    """Some events in words: item, time, the features that an event has of its own, and texts.

    Args:
        log: The events.
        places: `[n]` positions in it.
        dataset: Where external ids come from.
    """
    ids = text_column(dataset.catalog.items.external_ids)
    columns = {
        ITEM: ids.gather(log.items[places] - 1),
        TIMESTAMP: pl.Series(log.timestamps[places], dtype=pl.Int64),
    }
    for feature in log.schema.given:
        if feature.name != ITEM and feature.name in log.columns:
            columns[feature.name] = readable(feature, log.columns[feature.name][places])
    written = {name: text_column(texts.take(places)) for name, texts in log.written.items()}
    return {**columns, **written}


def _write(frame: pl.DataFrame, path: Path, metadata: Mapping[str, str]) -> None:
    with alone_in(path.parent), whole_file(path) as fresh:
        frame.write_parquet(fresh, compression="zstd", metadata=dict(metadata))
